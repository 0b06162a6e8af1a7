"""The HTTP API for counterfactuals: how a recorded canary would have ended under other rules."""

from __future__ import annotations

import asyncio
import math
import time

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...broker.kafka.time_range import read_time_range
from ...control_plane.judge.counterfactual import RecordedCanary, judge_again
from ...registry.registry import Registry
from ...schemas.documents.counterfactual import Counterfactual
from ...schemas.errors import NotFound
from ...schemas.payloads.label_reports import LABELLED, LabelReport
from ...schemas.payloads.observations import Summary
from ...schemas.payloads.releases import CanaryPlan
from ...schemas.payloads.rules import Rules, Step
from ...schemas.settings.mesh import MeshSettings
from ...schemas.trial_id import TrialId
from ..route import Route
from .route_tools import answer, parse_id, read_json
from .upload import parse

# Seconds. Summaries are written after the requests that they cover.
SUMMARY_DELAY = 60.0
_KINDS = ("canary.started", "canary.promoted", "canary.rolled_back")


class CounterfactualRequest(BaseModel):
    """The rules to judge by; the default of each is the canary's own rule."""

    model_config = ConfigDict(extra="forbid")

    auto_rollback_threshold: float | None = None
    window_seconds: float | None = None
    min_requests: int | None = None
    alpha: float | None = None
    latency_tolerance: float | None = None
    latency_floor_ms: float | None = None
    warm_up_seconds: float | None = None
    failure_margin: float | None = None
    accuracy_margin: float | None = None
    on_accuracy: str | None = None
    on_output_drift: str | None = None
    max_disagreement: float | None = None
    on_disagreement: str | None = None
    steps: list[Step] | None = Field(default=None, max_length=100)

    def applied_to(self, plan: CanaryPlan) -> CanaryPlan:
        """Return the plan with these rules in place of its own. Raises InvalidInput."""
        # An explicit null switches a rule off: no threshold, or latency not judged.
        given = {name: getattr(self, name) for name in self.model_fields_set if name in Rules.model_fields}
        rules = parse(Rules, {**plan.rules.model_dump(), **given})
        steps = plan.steps if self.steps is None else tuple(self.steps)
        return CanaryPlan(steps=steps, rules=rules)


class CounterfactualRoutes:
    """`POST /deployments/canary/{id}/counterfactual`. Summaries are kept for a day."""

    def __init__(self, settings: MeshSettings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry

    async def judge(self, request: web.Request) -> web.Response:
        """Judge a canary again by other rules."""
        body: CounterfactualRequest = parse(CounterfactualRequest, await read_json(request))
        canary = await self._canary(*parse_id(request))
        plan = body.applied_to(canary.plan)
        summaries = await self._summaries(canary)
        if not summaries:
            raise NotFound(
                f"the summaries of {canary.id} have expired: they are kept for {self._settings.topics().observations.kept}",
                field="id",
            )
        # In a thread: a day of summaries takes seconds of CPU time.
        found = await asyncio.to_thread(judge_again, canary, summaries, plan)
        ended = None if math.isinf(canary.ended_at) else canary.ended_at
        recorded = {
            "decision": canary.ended,
            "at": ended,
            "seconds": None if ended is None else ended - canary.began_at,
            "rules": canary.plan.rules.model_dump(),
        }
        return answer(
            Counterfactual(
                id=canary.id,
                recorded=recorded,
                rules=plan.rules.model_dump(),
                would_have=found,
            )
        )

    routes = (
        Route("POST", "/deployments/canary/{id}/counterfactual", judge, "Judge a recorded canary by other rules",
              scope="deploy", repeat="with_key", takes=CounterfactualRequest, gives=Counterfactual, errors=(400, 404, 422),
              database=True),
    )  # fmt: skip

    async def _canary(self, model: str, trial: TrialId | None) -> RecordedCanary:
        """Return a canary from the history; without a trial, the newest. Raises NotFound."""
        events = await self._registry.events_of_trial(model, trial, _KINDS)
        started = next((row for row in events if row.kind == "canary.started" and "canary" in row.data), None)
        if started is None:
            raise NotFound(f"the history has no canary of {model[:80]!r} whose rules were recorded", field="id")
        ended = next((row for row in events if row.kind != started.kind and row.data["id"] == started.data["id"]), None)
        return RecordedCanary(
            id=TrialId.parse(started.data["id"]),
            stable=started.data["version"],
            candidate=started.data["candidate"],
            plan=CanaryPlan.model_validate(started.data["canary"]),
            began_at=started.at.timestamp(),
            ended_at=ended.at.timestamp() if ended is not None else math.inf,
            ended=ended.kind.removeprefix("canary.") if ended is not None else "running",
        )

    async def _summaries(self, canary: RecordedCanary) -> list[Summary | LabelReport]:
        """Return the trial's summaries in the order in which the judge read them: a model's are in one partition."""
        found: list[Summary | LabelReport] = []
        key = canary.id.model.encode()
        end = min(canary.ended_at, time.time()) + SUMMARY_DELAY
        async for record in read_time_range(self._settings, self._settings.topics().observations, canary.began_at, end):
            if record.key != key:
                continue
            kind = LabelReport if LABELLED in record.headers else Summary
            try:
                summary = kind.model_validate_json(record.value or b"")
            except ValidationError:
                continue  # the control plane has dead-lettered it
            if summary.trial == canary.id.number:
                found.append(summary)
        return found
