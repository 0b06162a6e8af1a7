"""What the control plane has written to `deployments`: it decides, where a table lost what a crash interrupted.

A release is published before the table's changelog has it, and both are not written atomically. Each record on `deployments`
therefore also holds, in a header, the event that answers its command. After a restart, and whenever keys are assigned, the
records are read again, and a table that is behind takes over the release with its answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import structlog
from aiokafka import ConsumerRecord
from pydantic import ValidationError

from ...broker.kafka.catch_up_reader import CatchUpReader, catch_up_consumer
from ...broker.kafka.connection import partitions_of
from ...schemas.payloads.events import Event, read_event
from ...schemas.payloads.releases import Release
from ...schemas.records import ANSWER
from ...schemas.settings.mesh import MeshSettings
from .state import ReleaseState, remember

log = structlog.get_logger(__name__)


class Written(NamedTuple):
    """A model's last record on `deployments`: its release (None: removed), and the event that answered the command.

    Records of earlier versions have no answer.
    """

    release: Release | None
    answer: Event | None

    @property
    def generation(self) -> int:
        """The generation that the record made; 0 if it is a removal without an answer."""
        if self.release is not None:
            return self.release.generation
        return self.answer.generation if self.answer is not None else 0


def adopt(state: ReleaseState, written: Written) -> ReleaseState:
    """Return the state after the written record; `state` itself if it is not behind."""
    answer = written.answer
    is_known = answer is None or state.answer_to(answer.command_id) is not None
    if written.release == state.release and is_known:
        return state
    if written.generation < state.generation and (written.release is not None or answer is not None):
        return state  # an older record, of a log that was restored
    removed_at = max(written.generation, state.generation)
    adopted = state.model_copy(update={"release": written.release, "removed_at": removed_at})
    return adopted if is_known or answer is None else remember(adopted, answer)


def last_written(records: Iterable[ConsumerRecord]) -> dict[str, Written]:
    """Return the last record of each model; records that cannot be read are skipped, as the releases' readers do."""
    found: dict[str, Written] = {}
    for record in records:
        model = (record.key or b"").decode(errors="replace")
        try:
            release = Release.model_validate_json(record.value) if record.value is not None else None
            answer = dict(record.headers).get(ANSWER)
            found[model] = Written(release, read_event(answer) if answer else None)
        except ValidationError as error:
            log.warning("deployment.unreadable", model=model, offset=record.offset, error=str(error)[:200])
    return found


def ahead_of(states: Mapping[str, ReleaseState], written: Mapping[str, Written]) -> dict[str, Written]:
    """Return the records that the tables' states are behind."""
    return {
        model: record
        for model, record in written.items()
        if adopt(state := states.get(model, ReleaseState()), record) is not state
    }


async def read_written(settings: MeshSettings) -> dict[str, Written]:
    """Return the last record of each model on `deployments`. Raises KafkaError."""
    partitions = partitions_of(settings.topics().deployments)
    consumer = catch_up_consumer(settings)
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        found: dict[str, Written] = {}
        async for batches in CatchUpReader(consumer, partitions).read():
            for records in batches.values():
                found |= last_written(records)
        return found
    finally:
        await consumer.stop()
