"""What the judge would have decided for a canary under other rules, from recorded summaries. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ...schemas.payloads.label_reports import LabelReport
from ...schemas.payloads.observations import Summary
from ...schemas.payloads.releases import CanaryPlan, RunningCanary
from ...schemas.trial_id import TrialId
from . import evidence
from .decision import Promote, Rollback, StepUp, decide, figures
from .evidence import Evidence


@dataclass(frozen=True)
class RecordedCanary:
    """A past canary: its versions, its plan, and how it ended (`ended_at` is infinity while it runs)."""

    id: TrialId
    stable: str
    candidate: str
    plan: CanaryPlan
    began_at: float
    ended_at: float
    ended: str


def judge_again(canary: RecordedCanary, summaries: Iterable[Summary | LabelReport], plan: CanaryPlan) -> dict[str, Any]:
    """Return the first decision that ends the canary, the steps before it, and the evidence then.

    The traffic is as recorded: an earlier or later step does not change how many requests the candidate had. Input drift is
    not judged.
    """
    plan = plan.model_copy(update={"step": 0, "step_began_at": canary.began_at})
    running = RunningCanary(canary.id, plan, canary.stable, canary.candidate)
    known = Evidence(trial=canary.id.number)
    steps: list[dict[str, Any]] = []
    count, at = 0, canary.began_at
    decision = decide(known, running, at)
    for summary in summaries:
        if not evidence.take_in(known, summary, running):
            continue
        count, at = count + 1, max(at, summary.at)
        decision = decide(known, running, at)
        if isinstance(decision, Rollback | Promote):
            break
        if isinstance(decision, StepUp):
            steps.append({"at": at, "percentage": decision.percentage})
            plan = plan.model_copy(update={"step": plan.step + 1, "step_began_at": at})
            running = running._replace(plan=plan)
    final = isinstance(decision, Rollback | Promote)
    return {
        "decision": decision.kind if final else "hold",
        "at": at if final else None,
        "seconds": at - canary.began_at if final else None,
        "reason": decision.reason,
        "steps": steps,
        "summaries": count,
        "evidence": figures(known, running),
    }
