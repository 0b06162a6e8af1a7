"""What the event that ends a canary says of its evidence, whoever ended it."""

from __future__ import annotations

from typing import Any

from ...schemas.payloads.commands import Promote, ReadCommand, Rollback
from ...schemas.payloads.releases import RunningCanary
from .decision import figures
from .evidence import Evidence


def with_closing_evidence(command: ReadCommand, evidence: Evidence, canary: RunningCanary | None) -> ReadCommand:
    """Return a command that ends the canary with its figures, unless it has some, and the history of its evidence."""
    if canary is None or not isinstance(command, Promote | Rollback) or command.trial not in (None, canary.id.number):
        return command
    found: dict[str, Any] = (command.evidence or figures(evidence, canary)) | {"history": evidence.history.document()}
    return command.model_copy(update={"evidence": found})
