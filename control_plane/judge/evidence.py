"""The state of a trial: totals by version, and the evidence that its candidate is worse than stable."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import BaseModel, Field

from ...models.proof.profile import key_within
from ...schemas.payloads.label_reports import LabelReport
from ...schemas.payloads.observations import Summary, VersionCounts
from ...schemas.payloads.releases import RunningCanary
from ...stats.log_histogram import merge_bins
from ...stats.two_sample import add_block, log_evidence, nothing_seen
from .accuracy_evidence import AccuracyEvidence
from .deduplication import Deduplicator
from .error_evidence import ErrorEvidence
from .evidence_history import EvidenceHistory, point
from .failure_difference import FailureDifference
from .latency_evidence import LatencyEvidence
from .pair_evidence import PairEvidence

OUTPUT_BLOCK = 100
MAX_LABELS = 20


class LabelEvidence(BaseModel):
    """Evidence that an answer is more, or less, frequent in the candidate."""

    more: list[float] = Field(default_factory=nothing_seen)
    less: list[float] = Field(default_factory=nothing_seen)


class Evidence(BaseModel):
    """Counts and evidence of one trial so far."""

    trial: int
    seen: Deduplicator = Field(default_factory=Deduplicator)
    totals: dict[str, VersionCounts] = Field(default_factory=dict)
    errors: ErrorEvidence = Field(default_factory=ErrorEvidence)
    latency: LatencyEvidence = Field(default_factory=LatencyEvidence)
    accuracy: AccuracyEvidence = Field(default_factory=AccuracyEvidence)
    pairs: PairEvidence = Field(default_factory=PairEvidence)
    labels: dict[str, LabelEvidence] = Field(default_factory=dict)
    label_counts: dict[str, tuple[int, int]] = Field(
        default_factory=dict, description="candidate's and stable's, pooled"
    )
    recent: list[tuple[int, int, int]] = Field(
        default_factory=list, description="second, the candidate's requests, those that it alone failed on"
    )
    step: int = 0
    in_step: int = Field(default=0, description="the candidate's requests in the present step")
    before_step: dict[str, tuple[int, int]] = Field(
        default_factory=dict, description="failures and requests of each version before the present step"
    )
    warned: list[str] = Field(default_factory=list)
    drifted: str = Field(
        default="", description="the inputs that drifted at the trial's last drift alarm; empty: none did"
    )
    difference: FailureDifference = Field(default_factory=FailureDifference)
    history: EvidenceHistory = Field(default_factory=EvidenceHistory)

    def of_step(self, version: str) -> tuple[int, int]:
        """Return a version's failures and requests in the present step."""
        counts, before = self.totals.get(version, VersionCounts()), self.before_step.get(version, (0, 0))
        return counts.failed - before[0], counts.requests - before[1]

    @property
    def logs(self) -> dict[str, float]:
        """The log evidence of each comparison."""
        tails = {name: tail.log for name, tail in self.latency.tails.items()}
        return {
            "errors": self.errors.log,
            **tails,
            "outputs": self.outputs_log,
            "pairs": self.pairs.strongest,
            "accuracy": self.accuracy.log,
        }

    @property
    def outputs_log(self) -> float:
        """The log evidence that the two arms answer differently: labels have the weights 1/(j (j + 1)) in order of appearance."""
        total = sum(
            (_odds(label.more) + _odds(label.less)) / 2 / (j * (j + 1))
            for j, label in enumerate(self.labels.values(), 1)
        )
        unused = 1 / (len(self.labels) + 1)  # the weight of labels that have not appeared counts as no evidence
        return math.log(total + unused)


def _odds(logs: list[float]) -> float:
    return math.exp(min(700.0, log_evidence(logs)))


def take_in(evidence: Evidence, summary: Summary | LabelReport, canary: RunningCanary | None) -> bool:
    """Add a summary of the trial; return whether it was new. A duplicate changes nothing. `canary`: None for other trials."""
    if isinstance(summary, LabelReport):
        return canary is not None and summary.trial == evidence.trial and evidence.accuracy.take_in(summary)
    if summary.trial != evidence.trial or not evidence.seen.is_new(summary.worker, summary.epoch, summary.seq):
        return False
    if canary is not None:
        _compare(evidence, summary, canary)
    for version, counts in summary.versions.items():
        _add_counts(evidence.totals.setdefault(version, VersionCounts()), counts)
    return True


def _add_counts(total: VersionCounts, counts: VersionCounts) -> None:
    total.requests += counts.requests
    total.failed += counts.failed
    total.late += counts.late
    total.shared += counts.shared
    total.keyed += counts.keyed
    merge_bins(total.latency, counts.latency)
    _add(total.outputs, counts.outputs)
    _add(total.errors, dict(list(counts.errors.items())[: 10 - len(total.errors)]))


def _add(total: dict[str, int], counts: Mapping[str, int]) -> None:
    """Add counts by name; beyond the limit of distinct names the rest share one key."""
    for name, count in counts.items():
        key = key_within(total, name)
        total[key] = total.get(key, 0) + count


def _compare(evidence: Evidence, summary: Summary, canary: RunningCanary) -> None:
    plan, nothing = canary.plan, VersionCounts()
    candidate = summary.versions.get(canary.candidate, nothing)
    stable = summary.versions.get(canary.stable, nothing)
    evidence.errors.take_in(summary, canary)
    evidence.latency.take_in(summary, canary)
    evidence.pairs.take_in(summary, canary)
    _compare_outputs(evidence, candidate, stable)
    evidence.difference.take_in(summary, canary)
    evidence.history.add(summary.at, lambda: point(evidence.logs, evidence.difference.interval()))
    if evidence.step != plan.step:
        evidence.step, evidence.in_step = plan.step, 0
        evidence.before_step = {name: (counts.failed, counts.requests) for name, counts in evidence.totals.items()}
    evidence.in_step += candidate.requests
    second = int(summary.at)
    evidence.recent.append((second, candidate.requests, candidate.failed - candidate.shared))
    evidence.recent = _by_second(evidence.recent, second - plan.rules.window_seconds)


def _by_second(recent: list[tuple[int, int, int]], oldest: float) -> list[tuple[int, int, int]]:
    seconds: dict[int, tuple[int, int]] = {}
    for second, requests, failed in recent:
        if second >= oldest:
            before = seconds.get(second, (0, 0))
            seconds[second] = (before[0] + requests, before[1] + failed)
    return [(second, *counts) for second, counts in sorted(seconds.items())]


def _compare_outputs(evidence: Evidence, candidate: VersionCounts, stable: VersionCounts) -> None:
    pooled = evidence.label_counts
    for label in sorted(candidate.outputs.keys() | stable.outputs.keys()):
        key = key_within(pooled, label)
        ours, theirs = pooled.get(key, (0, 0))
        pooled[key] = (ours + candidate.outputs.get(label, 0), theirs + stable.outputs.get(label, 0))
    totals = [sum(counts) for counts in zip(*pooled.values(), strict=True)] if pooled else [0, 0]
    if sum(totals) < OUTPUT_BLOCK:
        return
    for label, evidence_of_label in evidence.labels.items():
        ours, theirs = pooled.get(label, (0, 0))
        evidence_of_label.more = add_block(evidence_of_label.more, totals[0], ours, totals[1], theirs)
        evidence_of_label.less = add_block(evidence_of_label.less, totals[1], theirs, totals[0], ours)
    # A new label counts from the next block on: the set of labels must be fixed before a block is judged.
    for label in pooled:
        if label not in evidence.labels and len(evidence.labels) < MAX_LABELS:
            evidence.labels[label] = LabelEvidence()
    evidence.label_counts = {}
