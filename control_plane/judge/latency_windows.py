"""Latency over the last minute, five minutes and hour, merged from ten-second sketches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, Field

from ...schemas.payloads.observations import Summary
from ...stats.log_histogram import Bins, merge_bins, percentiles
from .deduplication import Deduplicator

BUCKET = 10
WINDOWS = {"1m": 60, "5m": 300, "1h": 3600}
KEPT = WINDOWS["1h"] // BUCKET + 1


class LatencyBucket(BaseModel):
    """Ten seconds of one version."""

    number: int = 0
    seen: Deduplicator = Field(default_factory=Deduplicator)
    requests: int = 0
    failed: int = 0
    bins: Bins = Field(default_factory=dict)


def bucket_of(at: float) -> int:
    """Return the number of the bucket for a time in seconds since the epoch."""
    return int(at) // BUCKET


def key_of(model: str, identity: str, number: int) -> str:
    """Return the table's key; each bucket overwrites the one an hour before it. Model names contain no `|`."""
    return f"{model}|{identity}|{number % KEPT}"


def take_in(bucket: LatencyBucket, summary: Summary, version: str) -> None:
    """Add a summary's counts of one version; a duplicate changes nothing."""
    counts = summary.versions[version]
    if bucket.seen.is_new(summary.worker, summary.epoch, summary.seq):
        bucket.requests += counts.requests
        bucket.failed += counts.failed
        merge_bins(bucket.bins, counts.latency)


def windows(bucket_at: Callable[[int], LatencyBucket | None], now: float) -> dict[str, dict[str, Any]]:
    """Return requests, failures and percentiles in ms over each window; empty windows are left out.

    A window reaches back to the beginning of a bucket, so it is up to ten seconds longer than its name.
    """
    newest = bucket_of(now)
    found: dict[str, dict[str, Any]] = {}
    bins: Bins = {}
    requests = failed = reached = 0
    for name, seconds in WINDOWS.items():
        for back in range(reached, seconds // BUCKET + 1):
            bucket = bucket_at(newest - back)
            if bucket is not None:
                requests, failed = requests + bucket.requests, failed + bucket.failed
                merge_bins(bins, bucket.bins)
        reached = seconds // BUCKET + 1
        if requests:
            quantiles = {f"{rank}_ms": value for rank, value in percentiles(bins).items()}
            found[name] = {"requests": requests, "failed": failed, **quantiles}
    return found
