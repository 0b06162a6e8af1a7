"""Follow replies and shadow replies while a shadow runs, and publish their differences."""

from __future__ import annotations

import asyncio
import time

import orjson
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError

from ..broker.kafka.catch_up_reader import CatchUpReader, catch_up_consumer
from ..broker.kafka.connection import partitions_of
from ..broker.kafka.dead_letter_writer import DeadLetterWriter
from ..broker.kafka.outbox import Outbox
from ..broker.views.releases import ReleasesView
from ..schemas.errors import MalformedRecord
from ..schemas.payloads.releases import Release, Variant
from ..schemas.records import SHADOW, Reply
from ..schemas.settings.mesh import MeshSettings
from ..schemas.trial_id import TrialId
from .shadow_pairs import ShadowPairs

log = structlog.get_logger(__name__)
INTERVAL = 1.0
# The limit of differences logged each second; all of them are counted.
MAX_LOGGED = 10


class ShadowJoiner:
    """Reads only while a shadow runs. After a restart it reads from the start of the oldest running shadow."""

    def __init__(self, settings: MeshSettings, outbox: Outbox) -> None:
        topics = settings.topics()
        self._settings = settings
        self._replies = topics.replies
        self._shadow_replies = topics.shadow_replies
        self._statistics = topics.statistics.name
        self._outbox = outbox
        self._dead_letters = DeadLetterWriter(settings, outbox)
        self._releases = ReleasesView(settings, None, self._on_release)
        self._pairs: dict[TrialId, ShadowPairs] = {}
        self._shadows: dict[str, tuple[Release, Variant]] = {}
        self._shadow_running = asyncio.Event()
        self._published: dict[str, dict[str, object]] = {}
        self._logged = 0

    async def run(self) -> None:
        """Join until cancelled; retries while the broker is down."""
        following = asyncio.create_task(self._releases.run())
        try:
            await self._releases.ready.wait()
            while True:
                await self._shadow_running.wait()
                try:
                    await self._join()
                except KafkaError as error:
                    log.warning("shadow.waiting", error=str(error)[:300])
                    await asyncio.sleep(1.0)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    def _on_release(self, model: str, release: Release | None) -> None:
        if release is not None and (shadow := release.variant("shadow")) is not None:
            self._shadows[model] = release, shadow
            self._shadow_running.set()
        else:
            self._shadows.pop(model, None)
            if not self._shadows:
                self._shadow_running.clear()

    async def _join(self) -> None:
        self._pairs.clear()
        since = min(release.began_at for release, _ in self._shadows.values())
        consumer = catch_up_consumer(self._settings)
        await consumer.start()
        try:
            reader = await self._reader(consumer, since)
            while self._shadows:
                async for batches in reader.read():
                    for partition, records in batches.items():
                        for record in records:
                            self._on_record(record, shadow=partition.topic == self._shadow_replies.name)
                self._publish()
                await asyncio.sleep(INTERVAL)
        finally:
            await consumer.stop()

    async def _reader(self, consumer: AIOKafkaConsumer, since: float) -> CatchUpReader:
        """Return a reader that starts in each partition at the time `since`."""
        partitions = partitions_of(self._replies, self._shadow_replies)
        consumer.assign(partitions)
        # The end offsets first, so that records written between the two calls are not skipped.
        ends = await consumer.end_offsets(partitions)
        found = await consumer.offsets_for_times({partition: int(since * 1000) for partition in partitions})
        for partition in partitions:
            first = found.get(partition)
            consumer.seek(partition, first.offset if first is not None else ends[partition])
        return CatchUpReader(consumer, partitions)

    def _on_record(self, record: ConsumerRecord, *, shadow: bool) -> None:
        if not shadow and not any(name == SHADOW for name, _ in record.headers):
            return
        try:
            reply = Reply.from_record(record.headers, record.value)
        except MalformedRecord as error:
            if shadow:
                self._dead_letters.put(record, error.detail)
            return  # the inference log handles malformed replies
        pairs = self._pairs_of(TrialId(reply.model, reply.trial))
        try:
            found = pairs.add(reply, record.timestamp / 1000, shadow=shadow)
        except Exception as error:  # a body may be anything that a model answers
            log.warning("shadow.unreadable", request_id=reply.request_id, error=str(error)[:200])
            return
        if found is not None and not found.agree and self._logged < MAX_LOGGED:
            self._logged += 1
            log.info(
                "shadow.difference",
                model=reply.model,
                request_id=reply.request_id,
                label_changed=found.label_changed,
                distance=found.distance,
            )

    def _pairs_of(self, trial: TrialId) -> ShadowPairs:
        pairs = self._pairs.get(trial)
        if pairs is None:
            release = self._releases.releases.get(trial.model)
            bins = release.versions[release.stable.version].output_bins if release is not None else None
            pairs = self._pairs[trial] = ShadowPairs(bins)
        return pairs

    def _publish(self) -> None:
        self._logged = 0
        now = time.time()
        for model, (release, shadow) in self._shadows.items():
            pairs = self._pairs_of(release.id)
            pairs.forget(now)
            versions = {"production": release.stable.version, "shadow": shadow.version}
            document = {"id": str(release.id), "trial": release.trial, "versions": versions, **pairs.document()}
            if self._published.get(model) != document:
                self._published[model] = document
                value = orjson.dumps({"at": now, **document})
                self._outbox.send(self._statistics, value, key=f"{model}|shadow")
