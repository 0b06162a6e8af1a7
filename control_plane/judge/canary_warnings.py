"""Events about a canary that does not end: its answers differ from stable's, or are right less often and only reported."""

from __future__ import annotations

from collections.abc import Iterator

from ...schemas.payloads.event_data import CanaryWarnedData
from ...schemas.payloads.events import CanaryWarned
from ...schemas.payloads.releases import RunningCanary
from .accuracy_decision import worse_in_words
from .decision import figures, less_accurate, outputs_differ, pairs_differ
from .evidence import Evidence


def new_warnings(known: Evidence, canary: RunningCanary, generation: int, actor: str, now: float) -> list[CanaryWarned]:
    """Return the events that are due, and note in the evidence that they were raised: each is raised once in a trial."""
    due = list(_due(known, canary))
    if not due:
        return []
    known.warned += [what for what, _ in due]
    outputs = {version: counts.outputs for version, counts in known.totals.items()}
    evidence = figures(known, canary)
    return [
        CanaryWarned(
            event_id=f"{canary.id}.{what}",
            model=canary.id.model,
            at=now,
            generation=generation,
            actor=actor,
            summary=f"the canary {canary.id} {words}",
            data=CanaryWarnedData(what=what, evidence=evidence, outputs=outputs, pairs=evidence["pairs"]),
        )
        for what, words in due
    ]


def _due(known: Evidence, canary: RunningCanary) -> Iterator[tuple[str, str]]:
    """Iterate over the warnings that were not raised yet, each with its words: a summary comes each second, and words cost."""
    if "outputs" not in known.warned and outputs_differ(known, canary):
        yield "outputs", "answers differently from stable"
    if "pairs" not in known.warned and pairs_differ(known, canary):
        yield "pairs", f"answers the same requests differently: {known.pairs.in_words()}"
    reported = canary.plan.rules.on_accuracy == "report" and "accuracy" not in known.warned
    if reported and less_accurate(known, canary):
        yield "accuracy", f"is worse by its labels: {worse_in_words(known.accuracy)}"
