"""Evidence from requests that both versions answered: how often, and in what, the candidate's answers differ from stable's."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from ...models.proof.profile import key_within
from ...schemas.payloads.observations import Gaps, PairCounts, Summary
from ...schemas.payloads.releases import RunningCanary
from ...schemas.payloads.rules import Rules
from ...stats.disagreement import log_evidence, rate_interval

MAX_OUTPUTS = 20
# Confusions that a document and a sentence name.
SHOWN, NAMED = 20, 3


class PairEvidence(BaseModel):
    """The pairs so far.

    An observation is a pair without a routing key, or the first pair of a key (by its hash): a user's requests are not
    independent. `strongest` is the largest log evidence so far, since the test may be looked at at any time.
    """

    counts: PairCounts = Field(default_factory=PairCounts, description="of all pairs; `units` is not used")
    observed: int = 0
    differed: int = 0
    known_units: list[int] = Field(
        default_factory=list, description="hashes of keys that have counted, at most KEY_UNITS"
    )
    strongest: float = 0.0

    def take_in(self, summary: Summary, canary: RunningCanary) -> None:
        """Add a summary's pairs."""
        if (pairs := summary.pairs) is None:
            return
        new = pairs.units.keys() - set(self.known_units)
        self.known_units = sorted({*self.known_units, *new})
        self.observed += pairs.compared - pairs.keyed + len(new)
        self.differed += pairs.differed - pairs.keyed_differed + sum(pairs.units[unit] for unit in new)
        _merge(self.counts, pairs)
        if (most := canary.plan.rules.max_disagreement) is not None:
            self.strongest = max(self.strongest, log_evidence(self.observed, self.differed, most))

    @property
    def unit(self) -> str:
        """What is counted, in words."""
        return "mirrored requests, the first of each routing key" if self.known_units else "mirrored requests"

    def in_words(self) -> str:
        """Return a sentence on how many answers differ, with the most frequent differences."""
        low, high = rate_interval(self.observed, self.differed)
        text = (
            f"{self.differed} of its {self.observed} answers that were compared with stable's to the same request differ "
            f"({low:.1%} to {high:.1%})"
        )
        named = ", ".join(f"{name}: {count}" for name, count in _largest(self.counts.confusions, NAMED).items())
        return f"{text}, {named}" if named else text

    def figures(self, rules: Rules) -> dict[str, Any]:
        """Return how many differ, the rate with its interval (95 %, valid at all times), and in what they differ."""
        counts = self.counts
        return {
            "observed": self.observed,
            "differed": self.differed,
            "unit": self.unit,
            "rate": self.differed / self.observed if self.observed else None,
            "rate_interval": rate_interval(self.observed, self.differed),
            "max_disagreement": rules.max_disagreement,
            "compared": counts.compared,
            "dropped": counts.dropped,
            "unanswered": counts.unanswered,
            "confusions": _largest(counts.confusions, SHOWN),
            "gaps": {
                name: {"mean": gaps.total / gaps.pairs if gaps.pairs else None, "largest": gaps.largest}
                for name, gaps in counts.gaps.items()
            },
        }


def _merge(total: PairCounts, more: PairCounts) -> None:
    total.compared += more.compared
    total.differed += more.differed
    total.keyed += more.keyed
    total.keyed_differed += more.keyed_differed
    total.dropped += more.dropped
    total.unanswered += more.unanswered
    for name, count in more.confusions.items():
        key = key_within(total.confusions, name)
        total.confusions[key] = total.confusions.get(key, 0) + count
    for name, gaps in more.gaps.items():
        if name in total.gaps or len(total.gaps) < MAX_OUTPUTS:
            known = total.gaps.setdefault(name, Gaps())
            known.pairs += gaps.pairs
            known.total += gaps.total
            known.largest = max(known.largest, gaps.largest)


def _largest(counts: dict[str, int], most: int) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most])
