"""Evidence that the candidate fails more often than stable: between requests, or between users where they have keys.

Requests without a key are pooled into blocks, since a block with requests of only one arm carries no evidence. A block closes
at a given size, or earlier when a request in it failed. It must not depend on which arm the requests went to: the false-alarm
guarantee rests on that (see `stats.two_sample`).

Requests of one user share the user's troubles, so with routing keys the unit is the key: see `stats.failing_keys`.
"""

from __future__ import annotations

from pydantic import BaseModel, Field

from ...schemas.payloads.observations import Summary, VersionCounts
from ...schemas.payloads.releases import RunningCanary
from ...stats import two_sample
from ...stats.failing_keys import Windows, next_key, with_window
from ...stats.failing_keys import log_evidence as evidence_of_keys

BLOCK = 100  # requests that close a block
BLOCK_WITH_FAILURE = 20  # requests that close a block in which something failed
# A key counts once in a window: its first failure. A window ends after so many seconds, or so many keys that failed.
KEYS_WINDOW_SECONDS = 600.0
KEYS_WINDOW_UNITS = 512


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


class FailingKeys(BaseModel):
    """The keys that failed: evidence of this window and of those before, and the keys counted in this one (at most KEY_UNITS)."""

    windows: Windows = Windows()
    began_at: float = 0.0
    counted: list[int] = Field(default_factory=list)
    candidate: int = 0
    stable: int = 0

    def add(self, candidate: set[int], stable: set[int], share: float, at: float) -> None:
        """Count each key's first failure in the window, the candidate's share of the keys being `share`."""
        # Where keys of both arms have one hash, which came first is unknown: it counts for neither.
        failed = candidate ^ stable
        if not failed or not 0 < share < 1:
            return
        over = at - self.began_at >= KEYS_WINDOW_SECONDS or len(self.counted) >= KEYS_WINDOW_UNITS
        if not self.windows.number or over:
            self.windows, self.began_at, self.counted = with_window(self.windows), at, []
        new = failed - set(self.counted)
        for unit in sorted(new):
            self.windows = next_key(self.windows, of_candidate=unit in candidate, share=share)
        self.candidate += len(new & candidate)
        self.stable += len(new & stable)
        self.counted = sorted({*self.counted, *candidate, *stable})


class ErrorEvidence(BaseModel):
    """Evidence between requests (`logs`, and the current block) and between keys."""

    logs: list[float] = Field(default_factory=two_sample.nothing_seen)
    block: Block = Field(default_factory=Block)
    keys: FailingKeys = Field(default_factory=FailingKeys)

    def take_in(self, summary: Summary, canary: RunningCanary) -> None:
        """Add a summary's counts."""
        ours, theirs = (summary.versions.get(version, VersionCounts()) for version in (canary.candidate, canary.stable))
        b = self.block
        b.add(
            ours.requests - ours.keyed,
            ours.failed - ours.keyed_failed,
            theirs.requests - theirs.keyed,
            theirs.failed - theirs.keyed_failed,
        )
        if b.closes:
            self.logs = two_sample.add_block(self.logs, b.candidate, b.candidate_hits, b.stable, b.stable_hits)
            self.block = Block()
        share = summary.shares.get(canary.candidate, 0.0)
        self.keys.add(set(ours.failed_units), set(theirs.failed_units), share, summary.at)

    @property
    def log(self) -> float:
        """The log evidence. Both parts are test martingales on different requests, and so is their product."""
        return two_sample.log_evidence(self.logs) + evidence_of_keys(self.keys.windows)

    @property
    def suspicion(self) -> float:
        """The log evidence without that of windows which have ended: it may fall again."""
        return two_sample.log_evidence(self.logs) + evidence_of_keys(self.keys.windows._replace(ended=0.0))

    @property
    def unit(self) -> str:
        """What is counted, in words."""
        keys = self.keys.candidate + self.keys.stable
        return f"routing keys that failed: {self.keys.candidate} of {keys} the candidate's" if keys else "requests"
