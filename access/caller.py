"""The caller of a request and its permissions. Without authentication a caller may do everything, under any name."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from ..schemas.errors import Forbidden
from ..schemas.payloads.keys import Scope


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated caller of a request: its name, its address, and its permissions."""

    name: str = ""
    source: str = ""
    scopes: frozenset[Scope] = frozenset(("admin",))
    models: frozenset[str] = frozenset()  # empty: all
    key: str = ""  # unique, unlike the name: the API key's id, or `token:` and a digest of the subject
    limit: int | None = None  # requests a minute
    expires_at: float | None = None  # seconds since the epoch
    known: bool = False  # authenticated: a name in the body does not replace this one

    def check_scope(self, scope: Scope) -> None:
        """Raise Forbidden unless the caller may do this."""
        if scope not in self.scopes and "admin" not in self.scopes:
            raise Forbidden(
                f"{self.name!r} has the scopes {', '.join(sorted(self.scopes))}: this request needs {scope}",
                field="scope",
            )

    def sees(self, model: str) -> bool:
        """Whether the caller may use and see this model. "" (no model) needs a caller without a restriction to models."""
        return not self.models or model in self.models

    def check_model(self, model: str) -> None:
        """Raise Forbidden unless the caller may use this model."""
        if not self.sees(model):
            raise Forbidden(f"{self.name!r} may not use the model {model[:80]!r}", field="model")

    def models_to_list(self, model: str | None) -> frozenset[str] | None:
        """Return the models to list: the given one, or all that the caller may use. None: no restriction.

        Raises Forbidden if the caller may not use the given one.
        """
        if model:
            self.check_model(model)
            return frozenset((model,))
        return self.models or None

    @property
    def uses_token(self) -> bool:
        """Whether the caller used an OpenID token, not an API key."""
        return self.key.startswith("token:")

    def actor(self, claimed: str) -> str:
        """Return the name to record in the history."""
        return self.name if self.known else claimed


ANONYMOUS = Caller()
caller: ContextVar[Caller] = ContextVar("caller", default=ANONYMOUS)
