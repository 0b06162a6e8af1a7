"""The options that calls share, by name, so that an editor completes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict


class PredictOptions(TypedDict, total=False):
    """What each prediction of a stream is asked with, as `predict` is."""

    routing_key: str | None
    request_id: str | None
    timeout: float | None


class ChangeOptions(TypedDict, total=False):
    """What any change of a release may say: the generation that it is based on (409 if that is gone), who asks, and why."""

    generation: int | None
    actor: str
    reason: str


class _Rules(TypedDict, total=False):
    window_seconds: float
    min_requests: int
    alpha: float
    latency_tolerance: float | None
    on_output_drift: Literal["report", "rollback"]
    steps: Sequence[float | dict[str, Any]]


class CanaryRules(_Rules, ChangeOptions, total=False):
    """The rules of POST /deployments/canary: `schemas.payloads.releases.Rules` says what each means.

    `steps` are shares in percent, each holding for `hold_seconds`, or objects with both.
    """

    hold_seconds: float
    on_drift: Literal["report", "rollback"]


class OtherRules(_Rules, total=False):
    """The rules of a counterfactual; what is not given is as it was."""

    auto_rollback_threshold: float | None


class ReplayOptions(TypedDict, total=False):
    """Until when, how many times the recorded rate (None: as fast as the model), and how many requests at most."""

    to: datetime | None
    speed: float | None
    limit: int | None
