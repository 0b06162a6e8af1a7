"""What a worker saw, summed up: a few summaries a second, and one at once after a failure."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..broker.outbox import Outbox
from ..models.profile import LEARNED_VALUES, columns_of, count_labels, count_rows, output_labels
from ..models.tensors import Tensors
from ..schemas.observations import FeatureCounts, Summary, VersionCounts
from ..schemas.releases import Release
from ..schemas.settings import Settings
from ..stats.log_histogram import add_value
from ..telemetry.bookkeeping import Bookkeeping
from .version_server import Ran

# After a failure the next summary goes at once, but a failing candidate must not flood the log.
LEAST_GAP = 0.02
MOST_MESSAGES = 5
MESSAGE_LENGTH = 200


@dataclass
class _Trial:
    versions: dict[str, VersionCounts] = field(default_factory=dict)
    rows: dict[str, list[Tensors]] = field(default_factory=dict)


class Observer:
    """Counts by model, trial and version, and sends what it has. Counting is cheap; binning waits for the summary."""

    def __init__(self, settings: Settings, outbox: Outbox, epoch: str, keep_books: Bookkeeping | None = None) -> None:
        self._keep_books = keep_books or Bookkeeping()
        self._topic = settings.topics().observations.name
        self._worker = settings.name
        self._epoch = epoch
        self._interval = settings.observation_interval
        self._outbox = outbox
        self._seq = 0
        self._trials: dict[tuple[str, int], _Trial] = {}
        self._releases: dict[str, Release] = {}
        self._urgent = asyncio.Event()

    def set_release(self, model: str, release: Release | None) -> None:
        """Take over the reference bins of a model's versions."""
        if release is None:
            self._releases.pop(model, None)
        else:
            self._releases[model] = release

    def answered(self, model: str, trial: int, version: str, seconds: float) -> None:
        """Count a request that a version answered, after so long in this worker."""
        counts = self._counts(model, trial, version)
        counts.requests += 1
        add_value(counts.latency, seconds * 1000)

    def failed(self, model: str, trial: int, version: str, seconds: float, message: str, *, late: bool = False) -> None:
        """Count a request that a version got wrong, or had not answered after so long."""
        self.answered(model, trial, version, seconds)
        counts = self._counts(model, trial, version)
        counts.failed += 1
        counts.late += late
        message = message[:MESSAGE_LENGTH]
        if message in counts.errors or len(counts.errors) < MOST_MESSAGES:
            counts.errors[message] = counts.errors.get(message, 0) + 1
        self._urgent.set()

    def ran(self, model: str, ran: Ran) -> None:
        """Count a batch's rows and answers."""
        release = self._releases.get(model)
        if release is None or ran.version not in release.versions:
            return
        trial = self._trials.setdefault((model, ran.trial), _Trial())
        trial.rows.setdefault(ran.version, []).append(ran.inputs)
        # All versions of a trial are counted on the stable version's bins: else they could not be compared.
        bins = release.versions[release.stable.version].output_bins
        if bins is not None:
            counts = trial.versions.setdefault(ran.version, VersionCounts())
            count_labels(counts.outputs, output_labels(bins, ran.outputs))

    async def run(self) -> None:
        """Send summaries until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), self._interval)
            self._urgent.clear()
            self.flush()
            await asyncio.sleep(LEAST_GAP)

    def flush(self) -> None:
        """Send what there is."""
        trials, self._trials = self._trials, {}
        for (model, number), trial in trials.items():
            self._keep_books("statistics", self._send, model, number, trial)

    def _send(self, model: str, number: int, trial: _Trial) -> None:
        features: dict[str, FeatureCounts] = {}
        for version, rows in trial.rows.items():
            try:
                features[version] = self._features(model, version, rows)
            except Exception as error:  # the counts of requests and failures go out all the same
                self._keep_books.failed("features", error)
        self._seq += 1
        summary = Summary(
            model=model,
            trial=number,
            worker=self._worker,
            epoch=self._epoch,
            seq=self._seq,
            at=time.time(),
            versions=trial.versions,
            features=features,
        )
        self._outbox.send(self._topic, summary.model_dump_json(exclude_defaults=True).encode(), key=model)

    def _counts(self, model: str, trial: int, version: str) -> VersionCounts:
        return self._trials.setdefault((model, trial), _Trial()).versions.setdefault(version, VersionCounts())

    def _features(self, model: str, version: str, batches: list[Tensors]) -> FeatureCounts:
        spec = self._releases[model].versions.get(version) if model in self._releases else None
        tensors = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
        rows = len(next(iter(tensors.values())))
        if spec is not None and spec.profile is not None:
            return FeatureCounts(rows=rows, counts=count_rows(spec.profile, tensors))
        columns = columns_of(tensors)
        most = LEARNED_VALUES // max(1, len(columns))
        return FeatureCounts(
            rows=min(rows, most),
            names=[name for name, _ in columns],
            columns=[_plain(values[:most]) for _, values in columns],
        )


def _plain(values: NDArray[Any]) -> list[Any]:
    """Return a column as JSON has it: text, numbers, and null for what is missing."""
    if values.dtype.kind in "OUS":
        return [None if value is None else str(value) for value in values]
    numbers = values.astype(np.float64)
    return [value if np.isfinite(value) else None for value in numbers.tolist()]
