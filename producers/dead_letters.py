"""Dead letters: list, read and redrive them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from ..access.caller import Caller
from ..broker.kafka.connection import make_consumer, make_producer
from ..schemas import records
from ..schemas.errors import BrokerUnavailable, Forbidden, MalformedRecord, NotFound, RequestTooLarge
from ..schemas.records import PredictionRequest, Reply
from ..schemas.settings.client import ClientSettings
from .client import PredictionClient

_ADDED = frozenset(
    (
        records.REASON,
        records.SOURCE,
        records.STACK,
        records.SOURCE_KEY,
        records.CUT_BYTES,
        records.CUT_SHA256,
        records.CUT_HEADERS,
    )
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be processed. `number` is its offset in the topic of dead letters."""

    number: int
    at: float
    reason: str
    source: str
    stack: str
    key: bytes | None
    headers: list[tuple[str, bytes]]
    value: bytes | None
    redriven: bool = False
    cut: str = ""  # describes what is missing of the record; empty: nothing

    @property
    def topic(self) -> str:
        """The record's topic."""
        return self.source.rpartition("/")[0].rpartition("/")[0]

    @property
    def request(self) -> PredictionRequest | None:
        """The prediction request in the record, or None."""
        try:
            return PredictionRequest.from_record(self.headers, self.value)
        except MalformedRecord:
            return None

    def is_for(self, who: Caller) -> bool:
        """Whether a caller may see it. A caller restricted to some models sees only their requests."""
        request = self.request if who.models else None
        return not who.models or (request is not None and who.sees(request.model))

    def document(self) -> dict[str, Any]:
        """Return the letter as JSON, with bytes decoded to text."""
        return {
            "number": self.number,
            "at": self.at,
            "source": self.source,
            "reason": self.reason,
            "stack": self.stack,
            "redriven": self.redriven,
            "cut": self.cut,
            "key": _text(self.key),
            "value": _text(self.value),
            "headers": [[name, _text(value)] for name, value in self.headers],
        }

    @classmethod
    def from_record(cls, record: ConsumerRecord) -> DeadLetter:
        """Parse a record of the dead letters."""
        added: dict[str, bytes] = {name: value for name, value in record.headers if name in _ADDED}

        def text(name: str) -> str:
            return added.get(name, b"").decode(errors="replace")

        return cls(
            number=record.offset,
            at=record.timestamp / 1000,
            reason=text(records.REASON),
            source=text(records.SOURCE),
            stack=text(records.STACK),
            key=added.get(records.SOURCE_KEY),
            headers=[header for header in record.headers if header[0] not in _ADDED],
            value=record.value,
            cut=_missing(added, record.value),
        )


def no_letter(number: int) -> NotFound:
    """Return the error for an unknown number, or one that the caller may not see."""
    return NotFound(f"there is no dead letter {number}: `modelmesh dead-letters list` shows the existing ones")


def _missing(added: dict[str, bytes], value: bytes | None) -> str:
    missing = []
    if (full := added.get(records.CUT_BYTES)) is not None:
        digest = added.get(records.CUT_SHA256, b"").decode(errors="replace")
        missing.append(
            f"it holds the first {len(value or b'')} of {full.decode(errors='replace')} bytes (SHA-256 {digest})"
        )
    if (count := added.get(records.CUT_HEADERS)) is not None:
        missing.append(f"it lacks some of the {count.decode(errors='replace')} headers, or parts of them")
    return " and ".join(missing)


def _text(value: bytes | None) -> str | None:
    return value.decode(errors="replace") if value is not None else None


class DeadLetters:
    """The dead letters of one mesh, read from Kafka."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._topic = settings.topics().dead_letters.name

    async def list(self, newest: int | None = None) -> list[DeadLetter]:
        """Return the dead letters in order, only the `newest` if given. Raises BrokerUnavailable."""
        letters: dict[int, DeadLetter] = {}
        redriven: set[int] = set()
        async for record in self._records():
            mark = dict(record.headers).get(records.REDRIVES)
            if mark is not None and mark.isdigit():
                redriven.add(int(mark))
            else:
                letters[record.offset] = DeadLetter.from_record(record)
        # Each reader of a record writes a letter, and again after a restart: only the first is listed.
        first: dict[str, int] = {}
        for number, letter in letters.items():
            first.setdefault(letter.source, number)
        letters = {
            number: letter for number, letter in letters.items() if first[letter.source] == number or not letter.source
        }
        found = [replace(letter, redriven=number in redriven) for number, letter in letters.items()]
        return found[-newest:] if newest else found

    async def get(self, number: int) -> DeadLetter:
        """Return one letter. Raises NotFound or BrokerUnavailable."""
        for letter in await self.list():
            if letter.number == number:
                return letter
        raise no_letter(number)

    async def redrive(self, letter: DeadLetter) -> Reply | None:
        """Send a record again, and mark its letter as redriven; return the reply if it is a prediction request.

        A request is sent with a new id and deadline, since the old id already has an outcome. Any other record is written to
        its topic unchanged. Raises RequestTooLarge if the letter holds only a part of the record, Forbidden if this process
        may not write to the record's topic.
        """
        if letter.cut:
            raise RequestTooLarge(
                f"dead letter {letter.number} cannot be sent again: {letter.cut}; the record is at {letter.source} "
                "until its topic's retention ends"
            )
        reply = None
        request = letter.request
        if request is not None:
            async with PredictionClient(self._settings) as client:
                reply = await client.send(
                    request.model,
                    request.body,
                    content_type=request.content_type,
                    routing_key=request.routing_key,
                    request_id=f"{request.request_id[:100]}.redrive-{uuid4().hex[:8]}",
                    priority=request.priority,
                    pinned_version=request.pinned_version,
                )
        producer = make_producer(self._settings)
        await producer.start()
        try:
            if request is None:
                await producer.send_and_wait(letter.topic, letter.value, key=letter.key, headers=letter.headers)
            mark = [(records.REDRIVES, b"%d" % letter.number)]
            await producer.send_and_wait(self._topic, None, key=letter.source.encode(), headers=mark)
        except TopicAuthorizationFailedError as error:
            raise Forbidden(
                f"dead letter {letter.number} cannot be sent again from here: Kafka does not let this user write to "
                f"{letter.topic[:200]} (`modelmesh acls` shows who may)"
            ) from error
        finally:
            await producer.stop()
        return reply

    async def _records(self) -> AsyncIterator[ConsumerRecord]:
        consumer = make_consumer(self._settings)
        try:
            await consumer.start()
            partition = TopicPartition(self._topic, 0)
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            end = (await consumer.end_offsets([partition]))[partition]
            while await consumer.position(partition) < end:
                for found in (await consumer.getmany(timeout_ms=500)).values():
                    for record in found:
                        yield record
        except (KafkaError, OSError) as error:
            raise BrokerUnavailable(f"Kafka at {self._settings.kafka} cannot be reached: {error}") from error
        finally:
            await consumer.stop()
