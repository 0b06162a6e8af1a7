"""The document of a canary that was judged again under other rules."""

from __future__ import annotations

from typing import Any

from ..trial_id import TrialId
from .document import Document


class Counterfactual(Document):
    """How a canary ended, and how it would have ended under other rules."""

    id: TrialId
    recorded: dict[str, Any]
    rules: dict[str, Any]
    would_have: dict[str, Any]
