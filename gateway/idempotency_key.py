"""The `Idempotency-Key` of the request that is being handled."""

from __future__ import annotations

from contextvars import ContextVar

idempotency_key: ContextVar[str] = ContextVar("idempotency_key", default="")
