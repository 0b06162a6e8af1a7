"""Evidence that the candidate is slower than stable, side by side in the same seconds.

Summaries of a second are pooled into a bucket, over all workers. Where most requests have routing keys, a key counts once in
it. A bucket closes with a later second's first summary, once both arms have enough requests; what arrives late joins the open
bucket, with both arms' counts, so that nothing is lost and only one bucket is kept. Limits come from stable's last ten to
twenty seconds before the bucket, never from all of its history. See `stats.slow_seconds` for the test.
"""

from __future__ import annotations

from collections import Counter

from pydantic import BaseModel, Field

from ...schemas.payloads.observations import Summary, VersionCounts
from ...schemas.payloads.releases import RunningCanary
from ...schemas.payloads.rules import Rules
from ...stats.log_histogram import Bins, bin_of, bin_value, count_above, merge_bins, quantile, quantile_bin
from ...stats.slow_seconds import Progress, log_evidence, next_bucket, slow_probability

TAILS = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
# p50 is judged over four seconds at least: a stall of two does not move it, and a lasting difference shows in more requests.
SECONDS = {"p50": 4.0, "p95": 1.0, "p99": 1.0}
BUCKET_REQUESTS = 5  # of each arm, at least
SAMPLE = 200  # at most: bounds the work for a bucket to a few hundred terms
REFERENCE_REQUESTS = 50  # of stable, before its percentiles are used
REFERENCE_SECONDS = 10.0


class Recent(BaseModel):
    """The latency of both arms over the present period and the one before; a period has at least REFERENCE_SECONDS."""

    began_at: float = 0.0
    candidate: Bins = Field(default_factory=dict)
    stable: Bins = Field(default_factory=dict)
    candidate_before: Bins = Field(default_factory=dict)
    stable_before: Bins = Field(default_factory=dict)

    def add(self, candidate: Bins, stable: Bins, at: float) -> None:
        """Add a bucket; begin another period if this one has enough."""
        if at - self.began_at >= REFERENCE_SECONDS and sum(self.stable.values()) >= REFERENCE_REQUESTS:
            self.candidate_before, self.stable_before = self.candidate, self.stable
            self.candidate, self.stable, self.began_at = {}, {}, at
        merge_bins(self.candidate, candidate)
        merge_bins(self.stable, stable)

    def both(self) -> tuple[Bins, Bins]:
        """Return the candidate's and stable's latencies."""
        candidate, stable = dict(self.candidate_before), dict(self.stable_before)
        merge_bins(candidate, self.candidate)
        merge_bins(stable, self.stable)
        return candidate, stable


class Pooled(BaseModel):
    """Requests and slow ones of the candidate and of stable, to be judged together; whether all are after the warm-up."""

    requests: tuple[int, int] = (0, 0)
    slow: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    warm: bool = True


class TailEvidence(BaseModel):
    """Evidence on one percentile, and in how many of the judged seconds only the candidate was slow."""

    progress: Progress = Progress()
    pooled: Pooled = Field(default_factory=Pooled)
    slow: float = 0.0
    seconds: float = 0.0

    def add(self, bucket: Pooled, share: float, at_least: float) -> None:
        """Add a bucket, and judge once there are `at_least` so many seconds. `share`: the usual share of slow requests."""
        p = self.pooled
        p.requests = p.requests[0] + bucket.requests[0], p.requests[1] + bucket.requests[1]
        p.slow = p.slow[0] + bucket.slow[0], p.slow[1] + bucket.slow[1]
        p.seconds, p.warm = p.seconds + bucket.seconds, p.warm and bucket.warm
        if p.seconds < at_least:
            return
        sample = min(*p.requests, SAMPLE)
        ours, theirs = (
            slow_probability(total, count, sample, share) for total, count in zip(p.requests, p.slow, strict=True)
        )
        self.progress = next_bucket(self.progress, ours, theirs, seconds=p.seconds, counts=p.warm)
        if p.warm:
            self.seconds += p.seconds
            self.slow += p.seconds if ours * (1 - theirs) >= 0.5 else 0.0
        self.pooled = Pooled()

    @property
    def log(self) -> float:
        """The log evidence."""
        return log_evidence(self.progress)


class Arm(BaseModel):
    """One version in the open bucket: a log histogram of its requests, how many have a routing key, and a bin by key's hash."""

    bins: Bins = Field(default_factory=dict)
    keyed: int = 0
    by_key: dict[int, int] = Field(default_factory=dict)

    def add(self, counts: VersionCounts | None) -> None:
        """Add a summary's counts."""
        if counts is not None:
            merge_bins(self.bins, counts.latency)
            self.keyed += counts.keyed
            self.by_key = counts.keyed_latency | self.by_key

    def judged(self, keyed: bool) -> Bins:
        """Return the latencies to compare."""
        return dict(Counter(self.by_key.values())) if keyed else self.bins


class LatencyEvidence(BaseModel):
    """The open bucket, the recent latencies, and the evidence by percentile.

    Workers' clocks may differ, so a bucket is measured by the clock of one worker, and time is the sum of the buckets.
    """

    clock: float = Field(default=0.0, description="seconds of the buckets that have closed")
    first_clock: float | None = Field(default=None, description="of the bucket with the candidate's first request")
    owner: str = Field(default="", description="the worker that opened the bucket")
    opened: dict[str, int] = Field(default_factory=dict, description="each worker's first second in the bucket")
    candidate: Arm = Field(default_factory=Arm)
    stable: Arm = Field(default_factory=Arm)
    keyed: bool = Field(default=False, description="whether keys are compared, in the bucket that closed last")
    recent: Recent = Field(default_factory=Recent)
    tails: dict[str, TailEvidence] = Field(default_factory=lambda: {name: TailEvidence() for name in TAILS})

    def take_in(self, summary: Summary, canary: RunningCanary) -> None:
        """Add a summary's latencies, and judge the bucket before it if it is complete."""
        worker, second = summary.worker, int(summary.at)
        elapsed = second - self.opened.setdefault(worker, second)
        # The second limit is for when the worker that opened it is gone.
        if elapsed >= (1 if worker == self.owner else 2):
            self._close(canary.plan.rules, float(elapsed))
        if not self.opened:
            self.owner, self.opened[worker] = worker, second
        self.owner = self.owner or worker
        ours, theirs = summary.versions.get(canary.candidate), summary.versions.get(canary.stable)
        self.candidate.add(ours)
        self.stable.add(theirs)
        if self.first_clock is None and ours is not None and ours.requests:
            self.first_clock = self.clock

    def _close(self, rules: Rules, seconds: float) -> None:
        """Judge the open bucket and begin another, if both arms have enough requests."""
        # A few requests with keys among many without do not make users of all.
        requests = sum(self.candidate.bins.values()) + sum(self.stable.bins.values())
        keyed = 2 * (self.candidate.keyed + self.stable.keyed) > requests
        candidate, stable = self.candidate.judged(keyed), self.stable.judged(keyed)
        if min(sum(candidate.values()), sum(stable.values())) < BUCKET_REQUESTS:
            return
        usual = self.recent.both()[1]
        if sum(usual.values()) >= REFERENCE_REQUESTS and rules.latency_tolerance is not None:
            warm = self.first_clock is not None and self.clock - self.first_clock >= rules.warm_up_seconds
            for name, share in TAILS.items():
                limit = quantile_bin(usual, share)
                assert limit is not None  # there are requests
                slow = max(
                    limit + bin_of(rules.latency_tolerance) - bin_of(1.0),
                    bin_of(bin_value(limit) + rules.latency_floor_ms),
                )
                bucket = Pooled(
                    requests=(sum(candidate.values()), sum(stable.values())),
                    slow=(count_above(candidate, slow), count_above(stable, limit)),
                    seconds=seconds,
                    warm=warm,
                )
                self.tails[name].add(bucket, 1 - share, SECONDS[name])
        self.clock += seconds
        self.recent.add(candidate, stable, self.clock)
        self.candidate, self.stable, self.keyed, self.owner, self.opened = Arm(), Arm(), keyed, "", {}

    def now(self, name: str) -> tuple[float | None, float | None]:
        """Return the candidate's and stable's recent percentile in ms."""
        candidate, stable = self.recent.both()
        return quantile(candidate, TAILS[name]), quantile(stable, TAILS[name])

    @property
    def unit(self) -> str:
        """What is compared, in words."""
        return "seconds, each routing key once in a second" if self.keyed else "seconds"
