"""What the event that ends a canary says of its evidence, whoever ended it."""

from __future__ import annotations

from typing import Any

from ...schemas.payloads.commands import Promote, Rollback
from ...schemas.payloads.releases import RunningCanary
from .decision import figures
from .evidence import Evidence


def with_closing_evidence(command: Promote | Rollback, evidence: Evidence, canary: RunningCanary) -> Promote | Rollback:
    """Return a command that ends the canary with its figures, unless it has some, and the history of its evidence."""
    found: dict[str, Any] = (command.evidence or figures(evidence, canary)) | {"history": evidence.history.document()}
    return command.model_copy(update={"evidence": found})
