"""The `Idempotency-Key` of the request that is being handled, with the request's fingerprint."""

from __future__ import annotations

from contextvars import ContextVar

idempotency_key: ContextVar[str] = ContextVar("idempotency_key", default="")
