"""Who asks, and what they may do. Without authentication everybody may do everything, under the name they give."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from ..schemas.errors import Forbidden
from ..schemas.keys import Scope


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a request came from: by which name and from where, and what they may do."""

    name: str = ""
    source: str = ""
    scopes: frozenset[Scope] = frozenset(("admin",))
    models: frozenset[str] = frozenset()  # none: all
    key: str = ""  # the API key's id
    limit: int | None = None  # requests a minute
    known: bool = False  # the name was proved, and no body's claim replaces it

    def check_scope(self, scope: Scope) -> None:
        """Raise Forbidden unless the caller may do this."""
        if scope not in self.scopes and "admin" not in self.scopes:
            raise Forbidden(
                f"{self.name!r} has the scopes {', '.join(sorted(self.scopes))}: this needs {scope}", field="scope"
            )

    def check_model(self, model: str) -> None:
        """Raise Forbidden unless the caller may use this model."""
        if self.models and model not in self.models:
            raise Forbidden(f"{self.name!r} is not for the model {model[:80]!r}", field="model")

    def actor(self, claimed: str) -> str:
        """Return whose name goes into the history."""
        return self.name if self.known else claimed


ANYBODY = Caller()
caller: ContextVar[Caller] = ContextVar("caller", default=ANYBODY)
