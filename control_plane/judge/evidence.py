"""The state of a trial: totals by version, and the evidence that its candidate is worse than stable.

Summaries are pooled into blocks before they are judged, since a block with requests of only one arm carries no evidence. A
block closes at a given size, or earlier when a request in it failed. It must not depend on which arm the requests went to: the
false-alarm guarantee rests on that (see `stats.two_sample`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import BaseModel, Field

from ...models.proof.profile import key_within
from ...schemas.payloads.observations import Summary, VersionCounts
from ...schemas.payloads.releases import RunningCanary
from ...stats.log_histogram import bin_of, count_above, merge_bins, quantile_bin
from ...stats.two_sample import add_block, log_evidence, nothing_seen
from .deduplication import Deduplicator

BLOCK = 100  # requests that close a block
BLOCK_WITH_FAILURE = 20  # requests that close a block in which something failed
TAILS = {"p95": 0.95, "p99": 0.99}
STABLE_REQUESTS = 100  # that stable needs before its percentiles are used
# Slow answers are correlated, and one stall must not decide: a block adds at most a factor of 4 (this is its logarithm).
MAX_BLOCK_GAIN = 1.386
OUTPUT_BLOCK = 100
MAX_LABELS = 20


class Block(BaseModel):
    """Counts of both arms, to be judged together."""

    candidate: int = 0
    candidate_hits: int = 0
    stable: int = 0
    stable_hits: int = 0

    def add(self, candidate: int, candidate_hits: int, stable: int, stable_hits: int) -> None:
        """Pool more counts."""
        self.candidate += candidate
        self.candidate_hits += candidate_hits
        self.stable += stable
        self.stable_hits += stable_hits

    @property
    def closes(self) -> bool:
        """Whether the block is large enough to be judged."""
        total = self.candidate + self.stable
        return total >= (BLOCK_WITH_FAILURE if self.candidate_hits + self.stable_hits else BLOCK)


class Comparison(BaseModel):
    """Evidence that one kind of hit is more frequent in the candidate, and the current block."""

    logs: list[float] = Field(default_factory=nothing_seen)
    block: Block = Field(default_factory=Block)
    limit_bin: int | None = Field(
        default=None, description="for latency: the bin above which an answer of stable is slow"
    )
    peak: float = 0.0

    def close(self, limit: float = float("inf")) -> None:
        """Judge the block, adding `limit` to each log ratio at most, and begin another."""
        b = self.block
        self.logs = add_block(self.logs, b.candidate, b.candidate_hits, b.stable, b.stable_hits, limit=limit)
        self.peak = max(self.peak, log_evidence(self.logs))
        self.block = Block()


class LabelEvidence(BaseModel):
    """Evidence that an answer is more, or less, frequent in the candidate."""

    more: list[float] = Field(default_factory=nothing_seen)
    less: list[float] = Field(default_factory=nothing_seen)


class Evidence(BaseModel):
    """Counts and evidence of one trial so far."""

    trial: int
    seen: Deduplicator = Field(default_factory=Deduplicator)
    totals: dict[str, VersionCounts] = Field(default_factory=dict)
    errors: Comparison = Field(default_factory=Comparison)
    tails: dict[str, Comparison] = Field(default_factory=lambda: {name: Comparison() for name in TAILS})
    labels: dict[str, LabelEvidence] = Field(default_factory=dict)
    label_counts: dict[str, tuple[int, int]] = Field(
        default_factory=dict, description="candidate's and stable's, pooled"
    )
    recent: list[tuple[int, int, int]] = Field(
        default_factory=list, description="second, the candidate's requests, failed"
    )
    step: int = 0
    in_step: int = Field(default=0, description="the candidate's requests in the present step")
    warned: list[str] = Field(default_factory=list)

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


def take_in(evidence: Evidence, summary: Summary, canary: RunningCanary | None) -> bool:
    """Add a summary of the trial; return whether it was new. A duplicate changes nothing. `canary`: None for other trials."""
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
    evidence.errors.block.add(candidate.requests, candidate.failed, stable.requests, stable.failed)
    if evidence.errors.block.closes:
        evidence.errors.close()
    if plan.rules.latency_tolerance is not None:
        known = evidence.totals.get(canary.stable, nothing)
        _compare_latency(evidence, candidate, stable, known, plan.rules.latency_tolerance)
    _compare_outputs(evidence, candidate, stable)
    if evidence.step != plan.step:
        evidence.step, evidence.in_step = plan.step, 0
    evidence.in_step += candidate.requests
    second = int(summary.at)
    evidence.recent.append((second, candidate.requests, candidate.failed))
    evidence.recent = _by_second(evidence.recent, second - plan.rules.window_seconds)


def _by_second(recent: list[tuple[int, int, int]], oldest: float) -> list[tuple[int, int, int]]:
    seconds: dict[int, tuple[int, int]] = {}
    for second, requests, failed in recent:
        if second >= oldest:
            before = seconds.get(second, (0, 0))
            seconds[second] = (before[0] + requests, before[1] + failed)
    return [(second, *counts) for second, counts in sorted(seconds.items())]


def _compare_latency(
    evidence: Evidence, candidate: VersionCounts, stable: VersionCounts, known: VersionCounts, tolerance: float
) -> None:
    """Count slow answers: above stable's percentile at the start of the block; for the candidate above `tolerance` times it."""
    margin = bin_of(tolerance) - bin_of(1.0)
    for name, share in TAILS.items():
        tail = evidence.tails[name]
        limit = tail.limit_bin
        if limit is None and sum(known.latency.values()) >= STABLE_REQUESTS:
            limit = quantile_bin(known.latency, share)
        if limit is None:
            continue
        tail.limit_bin = limit
        tail.block.add(
            sum(candidate.latency.values()),
            count_above(candidate.latency, limit + margin),
            sum(stable.latency.values()),
            count_above(stable.latency, limit),
        )
        if tail.block.closes:
            tail.close(MAX_BLOCK_GAIN)
            tail.limit_bin = None


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
