"""The summaries that two workers send of simulated requests: once a second, and at once after a failure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from modelmesh.schemas.payloads.observations import Summary, VersionCounts, key_unit
from modelmesh.stats.log_histogram import bin_of
from numpy.typing import NDArray

from .traffic import Requests

WORKERS = 2
GAP = 0.02  # seconds between two summaries, as in workers/observer.py
DELAY = 0.3  # seconds: a summary arrives up to this late
TRIAL = 2
VERSIONS = ("1.0.0", "2.0.0")
UNITS = [key_unit(str(user)) for user in range(10_000)]
_LOG_GAMMA = np.log(1.02 / 0.98)


def summaries(found: Requests, share: float, random: np.random.Generator) -> Iterator[tuple[float, Summary]]:
    """Yield (time of arrival, summary) in order of arrival; one worker's arrive in the order in which it sent them."""
    bins = np.ceil(np.log(np.maximum(found.ms, 1e-3)) / _LOG_GAMMA).astype(int)
    assert not len(bins) or bins[0] == bin_of(float(found.ms[0]))
    worker_of = random.integers(0, WORKERS, len(found.done))
    sent = []
    for worker in range(WORKERS):
        mine = np.flatnonzero(worker_of == worker)
        times = _times(found.done[mine], found.failed[mine], random.random())
        ends = np.searchsorted(found.done[mine], times, side="right")
        arrival = 0.0
        for seq, (begin, end, at) in enumerate(zip(np.r_[0, ends[:-1]], ends, times, strict=True), 1):
            arrival = max(arrival, at + random.uniform(0, DELAY))
            if end > begin:
                sent.append((arrival, worker, seq, float(at), mine[begin:end]))
    for arrival, worker, seq, at, rows in sorted(sent, key=lambda one: one[:3]):
        versions = {}
        for arm, version in enumerate(VERSIONS):
            these = rows[found.candidate[rows] == bool(arm)]
            if len(these):
                versions[version] = _counts(found, bins, these, random)
        yield arrival, Summary(
            model="m", trial=TRIAL, worker=f"w{worker}", epoch="e", seq=seq, at=at, versions=versions,
            shares={VERSIONS[0]: 1 - share, VERSIONS[1]: share},
        )  # fmt: skip


def _times(done: NDArray[np.float64], failed: NDArray[np.bool_], phase: float) -> NDArray[np.float64]:
    """Return when a worker sends: each second, and after failures with a gap."""
    last = float(done[-1]) if len(done) else 0.0
    wanted = np.sort(np.r_[np.arange(phase, last + 2), done[failed] + 0.001])
    kept, before = [], -1.0
    for time in wanted:
        if time - before >= GAP:
            kept.append(time)
            before = time
    return np.array(kept)


def _counts(
    found: Requests, bins: NDArray[np.int64], rows: NDArray[np.int64], random: np.random.Generator
) -> VersionCounts:
    failed, keyed = found.failed[rows], found.user[rows] >= 0
    shuffled = random.permutation(rows[keyed])  # so that of each key one request, drawn at random, comes last
    return VersionCounts(
        requests=len(rows),
        failed=int(failed.sum()),
        shared=int(found.shared[rows].sum()),
        latency=_histogram(bins[rows]),
        keyed=int(keyed.sum()),
        keyed_failed=int((keyed & failed).sum()),
        keyed_latency={
            UNITS[user]: bin for user, bin in zip(found.user[shuffled].tolist(), bins[shuffled].tolist(), strict=True)
        },
        failed_units=sorted({UNITS[user] for user in found.user[rows[keyed & failed]].tolist()}),
    )


def _histogram(bins: NDArray[np.int64]) -> dict[int, int]:
    numbers, counts = np.unique(bins, return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))
