"""What the control plane has written to `deployments`: it decides, where a table lost what a crash interrupted.

A release is published before the table's changelog has it, and both are not written atomically. Each record on `deployments`
therefore also holds, in a header, the event that answers its command. After a restart, and whenever keys are assigned, the
records are read again, and a table that is behind takes over the release with its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import structlog
from aiokafka import ConsumerRecord
from pydantic import ValidationError

from ...broker.kafka.catch_up_reader import CatchUpReader, catch_up_consumer
from ...broker.kafka.connection import partitions_of
from ...schemas.payloads.read_events import ReadEvent, read_event
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
    answer: ReadEvent | None

    @property
    def generation(self) -> int:
        """The generation that the record made; 0 if it is a removal without an answer."""
        if self.release is not None:
            return self.release.generation
        return self.answer.generation if self.answer is not None else 0


def adopt(state: ReleaseState, written: Written) -> ReleaseState:
    """Return the state after the written record; `state` itself if it is not behind."""
    answer, release = written.answer, written.release
    if answer is not None:
        # Not every command raises the generation. A table that knows the last answer has that command's effect.
        behind = state.answer_to(answer.command_id) is None and written.generation >= state.generation
    elif release is not None:
        behind = written.generation > state.generation
    else:
        behind = state.release is not None
    if not behind:
        return state
    removed_at = max(written.generation, state.generation)
    adopted = state.model_copy(update={"release": release, "removed_at": removed_at})
    return remember(adopted, answer) if answer is not None else adopted


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


def taken_over(
    written: Mapping[str, Written], state_of: Callable[[str], ReleaseState], is_mine: Callable[[str], bool]
) -> dict[str, ReleaseState]:
    """Return the states of the models whose table is behind the log. A table that cannot be read is left as it is."""
    found: dict[str, ReleaseState] = {}
    for model, record in written.items():
        if not is_mine(model):
            continue
        try:
            state = state_of(model)
        except ValidationError as error:
            log.warning("release.unreadable", model=model, error=str(error)[:200])
            continue
        if (adopted := adopt(state, record)) is not state:
            log.warning("release.taken_over", model=model, generation=adopted.generation)
            found[model] = adopted
    return found


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
