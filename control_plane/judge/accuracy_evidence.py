"""Evidence from true labels that the candidate is right less often than stable, or that its errors are larger.

A request counts for the version that it was assigned to, whoever answered it (the cache, or stable after a failure): only the
assignment is independent of how hard a request is. Blocks have requests of one release only, since shares change with it.

Requests of one user share a version, so with routing keys the unit is the key: it counts once in a window, with its first
labelled request. Windows are added as in `stats.failing_keys`.
"""

from __future__ import annotations

from pydantic import BaseModel, Field

from ...schemas.payloads.label_reports import Kind, LabelReport
from ...stats.failing_keys import Windows, with_window
from ...stats.failing_keys import log_evidence as evidence_of_windows
from ...stats.larger_losses import QUANTILES, hits, next_block, nothing_seen
from ...stats.two_sample import log_evidence

BLOCK = 20  # requests, or keys, that close a block
# Releases with an open block. An older one's open block is dropped: its labels come late and singly.
OPEN_BLOCKS = 3
# A window of keys ends after so many seconds, or so many keys (half of the hashes, so that few share one).
WINDOW_SECONDS = 86_400.0
WINDOW_KEYS = 4096


class ArmTally(BaseModel):
    """Of one arm: requests (or keys) in closed blocks, and how many of them were hits, by quantile."""

    counted: int = 0
    hits: list[int] = Field(default_factory=list)

    def add(self, counted: int, found: list[int]) -> None:
        """Add a block."""
        self.counted += counted
        self.hits = [sum(pair) for pair in zip(self.hits, found, strict=True)] if self.hits else found


class Tally(BaseModel):
    """Both arms' counts."""

    candidate: ArmTally = Field(default_factory=ArmTally)
    stable: ArmTally = Field(default_factory=ArmTally)

    def add(self, block: list[tuple[bool, float]], kind: Kind) -> None:
        """Add a block."""
        found = [hits(block, quantile) for quantile in QUANTILES[kind]]
        candidate = sum(ours for ours, _ in block)
        self.candidate.add(candidate, [ours for ours, _ in found])
        self.stable.add(len(block) - candidate, [theirs for _, theirs in found])


class OpenBlocks(BaseModel):
    """By generation of the release: arm and loss of the requests that wait for their block to close (fewer than BLOCK)."""

    by_generation: dict[int, list[tuple[bool, float]]] = Field(default_factory=dict)

    def add(self, generation: int, candidate: bool, loss: float) -> list[tuple[bool, float]] | None:
        """Add a request; return the block that it closes, else None."""
        block = self.by_generation.setdefault(generation, [])
        block.append((candidate, loss))
        if len(block) >= BLOCK:
            return self.by_generation.pop(generation)
        while len(self.by_generation) > OPEN_BLOCKS:
            del self.by_generation[min(self.by_generation)]
        return None


class LabelledKeys(BaseModel):
    """The routing keys of labelled requests: a bit (in hex) for each that counted in this window, and the evidence."""

    windows: Windows = Windows()
    began_at: float = 0.0
    counted: int = 0
    seen: str = "0"
    open: OpenBlocks = Field(default_factory=OpenBlocks)

    def is_new(self, unit: int, kind: Kind, at: float) -> bool:
        """Record a key; return whether it is its first labelled request in the window."""
        over = at - self.began_at >= WINDOW_SECONDS or self.counted >= WINDOW_KEYS
        if not self.windows.number or over:
            self.windows = with_window(self.windows)._replace(logs=nothing_seen(kind))
            self.began_at, self.counted, self.seen, self.open = at, 0, "0", OpenBlocks()
        seen, bit = int(self.seen, 16), 1 << unit
        if seen & bit:
            return False
        self.seen, self.counted = f"{seen | bit:x}", self.counted + 1
        return True


class AccuracyEvidence(BaseModel):
    """Evidence of one trial's labels: between requests without a routing key (`logs`), and between keys."""

    kind: Kind | None = None
    last: int = Field(default=0, description="number of the last report")
    logs: tuple[float, ...] = ()
    open: OpenBlocks = Field(default_factory=OpenBlocks)
    keys: LabelledKeys = Field(default_factory=LabelledKeys)
    requests: int = Field(default=0, description="requests without a key in closed blocks; all others counted are keys")
    total: Tally = Field(default_factory=Tally)
    newest: int = Field(default=0, description="the newest generation with a closed block, and its counts")
    of_newest: Tally = Field(default_factory=Tally)

    def take_in(self, report: LabelReport) -> bool:
        """Add a report of this trial; return whether it was new. Reports come in order, some of them twice."""
        if report.number <= self.last:
            return False
        self.last = report.number
        if self.kind is None:
            self.kind, self.logs = report.kind, nothing_seen(report.kind)
        if report.kind != self.kind:
            return True  # the versions have one signature, so this is a single odd answer
        for answer in report.answers:
            candidate, generation, loss = answer.candidate, answer.generation, answer.loss
            keyed = answer.unit is not None
            if answer.unit is not None and not self.keys.is_new(answer.unit, self.kind, report.at):
                continue
            block = (self.keys.open if keyed else self.open).add(generation, candidate, loss)
            if block is not None:
                self._judge(block, self.kind, keyed=keyed)
                self._count(block, generation, self.kind)
        return True

    def _judge(self, block: list[tuple[bool, float]], kind: Kind, *, keyed: bool) -> None:
        if keyed:
            windows = self.keys.windows
            self.keys.windows = windows._replace(logs=next_block(windows.logs, block, kind))
        else:
            self.logs = next_block(self.logs, block, kind)
            self.requests += len(block)

    def _count(self, block: list[tuple[bool, float]], generation: int, kind: Kind) -> None:
        self.total.add(block, kind)
        if generation > self.newest:
            self.newest, self.of_newest = generation, Tally()
        if generation == self.newest:
            self.of_newest.add(block, kind)

    @property
    def log(self) -> float:
        """The log evidence. Both parts are test martingales on different requests, and so is their product."""
        return self._of_requests + evidence_of_windows(self.keys.windows)

    @property
    def suspicion(self) -> float:
        """The log evidence without that of windows of keys which have ended: it may fall again."""
        return self._of_requests + evidence_of_windows(self.keys.windows._replace(ended=0.0))

    @property
    def _of_requests(self) -> float:
        return log_evidence(self.logs) if self.logs else 0.0

    @property
    def unit(self) -> str:
        """What is counted, in words."""
        counted = self.total.candidate.counted + self.total.stable.counted
        keys = counted - self.requests
        if keys and self.requests:
            return f"labelled requests ({self.requests}) and routing keys ({keys})"
        return "routing keys, each with its first labelled request" if keys else "labelled requests"
