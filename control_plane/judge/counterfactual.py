"""What a canary's judge would have decided under other rules, from the summaries that were recorded. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ...schemas.payloads.observations import Summary
from ...schemas.payloads.releases import CanaryPlan, Release, Variant
from . import evidence
from .decision import decide, figures
from .evidence import Evidence


@dataclass(frozen=True)
class RecordedCanary:
    """A canary that was: who it was between, what it was judged by, and how it ended (at infinity: not yet)."""

    model: str
    trial: int
    stable: str
    candidate: str
    plan: CanaryPlan
    began_at: float
    ended_at: float
    ended: str

    def release(self, plan: CanaryPlan) -> Release:
        """Return the release as it began, under a plan of one's own. What is not judged is left out."""
        return Release.model_construct(
            model=self.model,
            trial=self.trial,
            generation=self.trial,
            strategy="canary",
            variants=(
                Variant(name="stable", version=self.stable, weight=0.5, role="stable"),
                Variant(name="candidate", version=self.candidate, weight=0.5, role="candidate"),
            ),
            versions={},
            canary=plan.model_copy(update={"step": 0, "step_began_at": self.began_at}),
        )


def judge_again(canary: RecordedCanary, summaries: Iterable[Summary], plan: CanaryPlan) -> dict[str, Any]:
    """Return the first decision that ends the canary, the steps before it, and the evidence then.

    The traffic is as it was recorded: steps that would have come earlier or later give the candidate no more and no fewer
    requests than it had. Drift of the inputs is not judged.
    """
    release, known = canary.release(plan), Evidence(trial=canary.trial)
    steps: list[dict[str, Any]] = []
    count, at = 0, canary.began_at
    decision = decide(known, release, at)
    for summary in summaries:
        if not evidence.take_in(known, summary, release):
            continue
        count, at = count + 1, max(at, summary.at)
        decision = decide(known, release, at)
        if decision.kind in ("rollback", "promote"):
            break
        if decision.kind == "step":
            assert release.canary is not None
            steps.append({"at": at, "percentage": decision.percentage})
            moved = release.canary.model_copy(update={"step": release.canary.step + 1, "step_began_at": at})
            release = release.model_copy(update={"canary": moved})
    final = decision.kind in ("rollback", "promote")
    return {
        "decision": decision.kind if final else "hold",
        "at": at if final else None,
        "seconds": at - canary.began_at if final else None,
        "reason": decision.reason,
        "steps": steps,
        "summaries": count,
        "evidence": figures(known, release),
    }
