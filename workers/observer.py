"""Summarizes what a worker did: a few summaries a second, and one immediately after a failure."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field

import structlog

from ..broker.kafka.outbox import Outbox
from ..models.proof.profile import count_labels, output_labels
from ..schemas.payloads.observations import SUMMARY_BYTES, FeatureCounts, PairCounts, Summary, VersionCounts, key_unit
from ..schemas.payloads.releases import Release
from ..schemas.settings.worker import WorkerSettings
from ..stats.log_histogram import add_value, bin_of
from ..telemetry.bookkeeping import Bookkeeping
from .versions.results import BatchRun
from .watched_rows import WatchedRows, halved

log = structlog.get_logger(__name__)

# Seconds between two summaries at least: a failure sends one immediately, but must not flood the topic.
MIN_GAP = 0.02
MAX_MESSAGES = 5
MESSAGE_LENGTH = 200


@dataclass
class _Trial:
    identities: dict[str, str] = field(default_factory=dict)  # of the versions, by number
    versions: dict[str, VersionCounts] = field(default_factory=dict)
    rows: dict[str, WatchedRows] = field(default_factory=dict)
    pairs: PairCounts | None = None
    asked: dict[tuple[str, int], int] = field(default_factory=dict)  # requests by version and routing key's hash

    def add_key(self, version: str, unit: int, latency_bin: int, kept: dict[int, int]) -> None:
        """Keep one of a key's latencies, each with the same probability."""
        asked = self.asked[version, unit] = self.asked.get((version, unit), 0) + 1
        if asked == 1 or random.random() * asked < 1:
            kept[unit] = latency_bin


class Observer:
    """Counts by model, trial and version, and sends summaries. Counting is cheap; rows are binned only in the summary."""

    def __init__(
        self, settings: WorkerSettings, outbox: Outbox, epoch: str, keep_books: Bookkeeping | None = None
    ) -> None:
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
        # Text columns by model and version, so that the rows for a learned reference always have the same columns.
        self._texts: dict[tuple[str, str], set[str]] = {}

    def set_release(self, model: str, release: Release | None) -> None:
        """Set a model's release, for the reference bins of its versions and their shares."""
        known = self._releases.get(model)
        if known is not None and release is not None and known.variants != release.variants:
            self.flush()  # these requests were assigned by the shares before
        if release is None:
            self._releases.pop(model, None)
            self._texts = {key: texts for key, texts in self._texts.items() if key[0] != model}
        else:
            self._releases[model] = release

    def answered(self, model: str, trial: int, version: str, identity: str, seconds: float, key: str = "") -> None:
        """Count a request that a version answered after `seconds` in this worker; `key`: its routing key, if it has one."""
        if (counts := self._counts(model, trial, version, identity)) is not None:
            counts.requests += 1
            add_value(counts.latency, seconds * 1000)
            if key:
                counts.keyed += 1
                self._trials[model, trial].add_key(version, key_unit(key), bin_of(seconds * 1000), counts.keyed_latency)

    def failed(
        self,
        model: str,
        trial: int,
        version: str,
        identity: str,
        seconds: float,
        message: str,
        key: str = "",
        *,
        late: bool = False,
        shared: bool = False,
    ) -> None:
        """Count a request that a version failed on, or (`late`) had not answered after `seconds`; `shared`: stable failed too."""
        self.answered(model, trial, version, identity, seconds, key)
        counts = self._counts(model, trial, version, identity)
        if counts is None:
            return
        counts.failed += 1
        counts.late += late
        counts.shared += shared
        if key:
            counts.keyed_failed += 1
            if (unit := key_unit(key)) not in counts.failed_units:
                counts.failed_units.append(unit)
        message = message[:MESSAGE_LENGTH]
        if message in counts.errors or len(counts.errors) < MAX_MESSAGES:
            counts.errors[message] = counts.errors.get(message, 0) + 1
        self._urgent.set()

    def ran(self, model: str, batch: BatchRun) -> None:
        """Count a batch's rows and answers."""
        release = self._releases.get(model)
        spec = release.versions.get(batch.version) if release is not None else None
        if release is None or spec is None or spec.identity != batch.identity:
            return
        trial = self._trials.setdefault((model, batch.trial), _Trial())
        if trial.identities.setdefault(batch.version, batch.identity) != batch.identity:
            return
        trial.rows.setdefault(batch.version, WatchedRows()).add(batch.inputs)
        # All versions of a trial are counted on the stable version's bins, to be comparable.
        bins = release.versions[release.stable.version].output_bins
        if bins is not None:
            counts = trial.versions.setdefault(batch.version, VersionCounts())
            count_labels(counts.outputs, output_labels(bins, batch.outputs))

    def pairs(self, model: str, number: int) -> PairCounts:
        """Return the counts of a trial's pairs since the last summary, to be added to."""
        trial = self._trials.setdefault((model, number), _Trial())
        if trial.pairs is None:
            trial.pairs = PairCounts()
        return trial.pairs

    async def run(self) -> None:
        """Send summaries until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), self._interval)
            self._urgent.clear()
            self.flush()
            await asyncio.sleep(MIN_GAP)

    def flush(self) -> None:
        """Send the collected counts."""
        trials, self._trials = self._trials, {}
        for (model, number), trial in trials.items():
            self._keep_books("statistics", self._send, model, number, trial)

    def _send(self, model: str, number: int, trial: _Trial) -> None:
        features: dict[str, FeatureCounts] = {}
        for version, rows in trial.rows.items():
            try:
                features[version] = self._features(model, version, rows)
            except Exception as error:  # the counts of requests and failures are still sent
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
            identities=trial.identities,
            features=features,
            shares=self._shares(model, number),
            pairs=trial.pairs,
        )
        self._outbox.send(self._topic, _fitting(summary), key=model)

    def _shares(self, model: str, trial: int) -> dict[str, float]:
        """Return the versions' shares in a trial; empty if it is over."""
        release = self._releases.get(model)
        if release is None or release.trial != trial:
            return {}
        return {variant.version: variant.weight for variant in release.variants}

    def _counts(self, model: str, trial: int, version: str, identity: str) -> VersionCounts | None:
        """Return a version's counts; None if its number has another identity in this trial, which is then over."""
        found = self._trials.setdefault((model, trial), _Trial())
        if found.identities.setdefault(version, identity) != identity:
            return None
        return found.versions.setdefault(version, VersionCounts())

    def _features(self, model: str, version: str, rows: WatchedRows) -> FeatureCounts:
        spec = self._releases[model].versions.get(version) if model in self._releases else None
        if spec is not None and spec.profile is not None:
            self._texts.pop((model, spec.identity), None)
            return rows.counts(spec.profile)
        return rows.raw(self._texts.setdefault((model, spec.identity if spec is not None else ""), set()))


def _fitting(summary: Summary) -> bytes:
    """Return the summary as JSON of at most SUMMARY_BYTES, with fewer raw rows or none if necessary."""
    while len(value := summary.model_dump_json(exclude_defaults=True).encode()) > SUMMARY_BYTES and summary.features:
        features = {version: halved(counts) for version, counts in summary.features.items() if counts.rows > 1}
        log.warning(
            "observation.cut", model=summary.model, bytes=len(value), rows=sum(f.rows for f in features.values())
        )
        summary = summary.model_copy(update={"features": features})
    return value
