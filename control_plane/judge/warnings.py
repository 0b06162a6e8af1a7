"""The events that say, once each, that a candidate's answers differ from stable's: by their distribution, or pair by pair."""

from __future__ import annotations

from ...schemas.payloads.event_data import CanaryWarnedData
from ...schemas.payloads.events import CanaryWarned, Event
from ...schemas.payloads.releases import RunningCanary
from .decision import figures, outputs_differ, pairs_differ
from .evidence import Evidence


def warnings(known: Evidence, canary: RunningCanary, generation: int, now: float, actor: str) -> list[Event]:
    """Return the events that are due, and note in the evidence that they were sent."""
    found: list[Event] = []
    for what, due, summary in (
        ("outputs", outputs_differ, f"the canary {canary.id} answers differently from stable"),
        ("pairs", pairs_differ, f"the canary {canary.id}: {known.pairs.in_words()}"),
    ):
        if what in known.warned or not due(known, canary):
            continue
        known.warned.append(what)
        evidence = figures(known, canary)
        found.append(
            CanaryWarned(
                event_id=f"{canary.id}.{what}",
                model=canary.id.model,
                at=now,
                generation=generation,
                actor=actor,
                summary=summary,
                data=CanaryWarnedData(
                    what=what,
                    evidence=evidence,
                    outputs={version: counts.outputs for version, counts in known.totals.items()},
                    pairs=evidence["pairs"],
                ),
            )
        )
    return found
