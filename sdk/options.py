"""The keyword options of calls as typed dicts, so that editors and type checkers know them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict


class PredictOptions(TypedDict, total=False):
    """The options of `predict`, for each prediction of a stream."""

    routing_key: str | None
    request_id: str | None
    timeout: float | None


class ChangeOptions(TypedDict, total=False):
    """The options of any change of a release: the generation it is based on (409 if it is outdated), its author, the reason."""

    generation: int | None
    actor: str
    reason: str


class OverrideOptions(TypedDict, total=False):
    """The options of overruling a canary's judge: the generation that it is based on (409 if it is outdated), its author."""

    generation: int | None
    actor: str


class _Rules(TypedDict, total=False):
    window_seconds: float
    min_requests: int
    alpha: float
    latency_tolerance: float | None
    latency_floor_ms: float
    warm_up_seconds: float
    failure_margin: float | None
    accuracy_margin: float | None
    on_accuracy: Literal["report", "rollback"]
    on_output_drift: Literal["report", "rollback"]
    max_disagreement: float | None
    on_disagreement: Literal["report", "hold", "rollback"]
    steps: Sequence[float | dict[str, Any]]


class CanaryRules(_Rules, ChangeOptions, total=False):
    """The rules of POST /deployments/canary; `schemas.payloads.releases.Rules` describes them.

    `steps` are shares in percent, each held for `hold_seconds`, or objects with both.
    """

    hold_seconds: float
    mirror_share: float
    answer_tolerance: float
    on_drift: Literal["report", "rollback"]


class CounterfactualRules(_Rules, total=False):
    """The rules of a counterfactual; the default of each is the canary's own rule."""

    auto_rollback_threshold: float | None


class ReplayOptions(TypedDict, total=False):
    """End of the time range, a factor of the recorded rate (None: as fast as possible), and maximum number of requests."""

    to: datetime | None
    speed: float | None
    limit: int | None
