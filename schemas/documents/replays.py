"""The documents of replays."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from .document import Document

# Seconds between two progress reports of a running replay.
PROGRESS_SECONDS = 1.0


class ReplayDocument(Document):
    """A replay: its progress while it runs, its report when it is done."""

    id: str
    model: str
    state: str = Field(description="queued, running, done, failed or interrupted")
    asked: dict[str, Any]
    actor: str
    progress: dict[str, Any] = Field(description="requests, requests a second, and the share of the time range")
    error: str
    created_at: datetime
    report: dict[str, Any] | None


class ReplayPage(Document):
    """One page of replays, newest first."""

    replays: list[ReplayDocument]
    page: int
    per_page: int
    total: int
