"""Who asks, and what they may do. Without authentication everybody may do everything, under the name they give."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from ..schemas.errors import Forbidden
from ..schemas.payloads.keys import Scope


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a request came from: by which name and from where, and what they may do."""

    name: str = ""
    source: str = ""
    scopes: frozenset[Scope] = frozenset(("admin",))
    models: frozenset[str] = frozenset()  # none: all
    key: str = ""  # whose it is, names may be the same: the API key's id, or `token:` and a digest of the subject
    limit: int | None = None  # requests a minute
    expires_at: float | None = None  # seconds since the epoch
    known: bool = False  # the name was proved, and no body's claim replaces it

    def check_scope(self, scope: Scope) -> None:
        """Raise Forbidden unless the caller may do this."""
        if scope not in self.scopes and "admin" not in self.scopes:
            raise Forbidden(
                f"{self.name!r} has the scopes {', '.join(sorted(self.scopes))}: this needs {scope}", field="scope"
            )

    def sees(self, model: str) -> bool:
        """Whether the caller may use this model and know of it; what is no model's ("") is for those who may use all."""
        return not self.models or model in self.models

    def check_model(self, model: str) -> None:
        """Raise Forbidden unless the caller may use this model."""
        if not self.sees(model):
            raise Forbidden(f"{self.name!r} is not for the model {model[:80]!r}", field="model")

    def asks_about(self, model: str | None) -> frozenset[str] | None:
        """Return the models that a list is about: the one that is named, else all that the caller may use. None: all there are.

        Raises Forbidden for one that is not the caller's.
        """
        if model:
            self.check_model(model)
            return frozenset((model,))
        return self.models or None

    @property
    def shows_token(self) -> bool:
        """Whether it came with a provider's token, not with an API key."""
        return self.key.startswith("token:")

    def actor(self, claimed: str) -> str:
        """Return whose name goes into the history."""
        return self.name if self.known else claimed


ANYBODY = Caller()
caller: ContextVar[Caller] = ContextVar("caller", default=ANYBODY)
