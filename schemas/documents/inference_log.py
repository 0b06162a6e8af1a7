"""The documents of the inference log: requests, their outcomes, and their records on the topics."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from .document import Document


class Inference(Document):
    """One request and its outcome; `status` is null while the outcome is pending, or if it is older than the log."""

    request_id: str = Field(description="the caller's label; other requests may have the same")
    nonce: str = Field(description="unique to this request; for requests without a nonce, the request id")
    caller: str = Field(description="the name of the API key or token that sent the request, if authentication is on")
    model: str
    at: datetime
    attempts: int
    status: int | None
    version: str | None
    variant: str | None
    worker: str | None
    latency_ms: float | None = Field(description="from the request's record to its outcome's")
    request: Any = Field(description="the body as JSON, or as base64 if it is not JSON; null if bodies are not kept")
    reply: Any


class InferencePage(Document):
    """One page of the inference log, newest first."""

    requests: list[Inference]
    page: int
    per_page: int
    total: int


class RecordDocument(Document):
    """One record: its position, timestamp and headers, and its value as JSON or base64."""

    topic: str
    partition: int
    offset: int
    at: float
    key: str
    headers: dict[str, str]
    value: Any


class RequestRecords(Document):
    """All records of one request, in the order in which they were written."""

    request_id: str
    nonce: str
    records: list[RecordDocument]
