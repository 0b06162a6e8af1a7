"""The record on `keys`: one API key, with the hash of its secret."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .unknown_values import OrUnknown

Scope = Literal["predict", "deploy", "admin"]


class ApiKey(BaseModel):
    """A key and its rights. `digest` is the SHA-256 of its secret, in hex.

    `predict` allows predictions, `deploy` registration and releases, `admin` everything, with bodies in the inference log.
    """

    model_config = ConfigDict(frozen=True)

    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    name: str = Field(min_length=1, max_length=64)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: tuple[OrUnknown[Scope], ...] = Field(min_length=1)
    models: tuple[str, ...] = Field(default=(), description="models that it may use; none: all")
    requests_per_minute: int | None = Field(default=None, ge=1, description="null: no limit")
    created_at: float
    created_by: str = ""
    expires_at: float | None = None
    revoked_at: float | None = None

    def state(self, now: float) -> Literal["valid", "expired", "revoked"]:
        """Return the key's state at `now`, in seconds since the epoch."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and now >= self.expires_at else "valid"
