"""Requests that wait for their answers: whose a reply is, when one is sent again and where to, and how each ends. No I/O.

Times are seconds on any clock that only goes on. Each request ends once: answered, failed, expired, or given up by its caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from aiokafka import ConsumerRecord

from ..broker.kafka.send_errors import answer_for, is_permanent
from ..resilience.retries import RetryBudget, RetryDelay
from ..schemas.errors import BrokerUnavailable, DeadlineExceeded
from ..schemas.payloads.replicas import Heartbeat
from ..schemas.records import PredictionRequest, Reply
from .correlation import answer_to, clocks_differ, skew_of
from .request_partitions import RequestPartitions

# Retries a second that need no budget, and the delay of a model's first retries, before anything is known of it.
RESERVE = 1.0
UNKNOWN_DELAY = 1.0


class Outcome(Protocol):
    """Where an answer goes: a future of asyncio's, or one like it."""

    def done(self) -> bool:
        """Whether the request has ended."""

    def set_result(self, result: Reply, /) -> None:
        """End it with an answer."""

    def set_exception(self, exception: BaseException, /) -> None:
        """End it with an error."""


Future = TypeVar("Future", bound=Outcome)


@dataclass(slots=True, eq=False)
class PendingRequest(Generic[Future]):
    """A request until it ends. `expires` is when its caller stops to wait."""

    request: PredictionRequest
    future: Future
    began: float
    expires: float
    acknowledged: bool = False  # Kafka has one of its attempts
    refused: int = 0  # retries that the budget had nothing for
    tried: list[int] = field(default_factory=list)  # the partition of each attempt
    retry: asyncio.TimerHandle | None = None  # its client's


class PendingRequests(Generic[Future]):
    """All requests in flight of one client, by nonce. `uniform` draws from 0 to 1, for the jitter of delays."""

    def __init__(
        self,
        partitions: RequestPartitions,
        *,
        max_attempts: int,
        retry_budget: float,
        least_delay: float,
        uniform: Callable[[], float],
    ) -> None:
        self._partitions = partitions
        self._max_attempts = max_attempts
        self._least_delay = least_delay
        self._uniform = uniform
        self._budget = RetryBudget(retry_budget, RESERVE)
        self._unknown = RetryDelay(UNKNOWN_DELAY, uniform)
        self._delays: dict[str, RetryDelay] = {}
        self._pending: dict[bytes, PendingRequest[Future]] = {}
        self.retries = 0
        self.foreign = 0  # replies to nothing that is in flight here: others', second, or late ones
        self.mismatched = 0  # replies under a nonce of ours that are no answer to its request

    def __len__(self) -> int:
        """How many there are."""
        return len(self._pending)

    def __iter__(self) -> Iterator[PendingRequest[Future]]:
        """Iterate over them, from the oldest on."""
        return iter(self._pending.values())

    def add(self, request: PredictionRequest, future: Future, now: float, seconds: float) -> PendingRequest[Future]:
        """Take in a request, which is about to be sent for the first time."""
        pending = self._pending[request.nonce.encode()] = PendingRequest(request, future, now, now + seconds)
        self._budget.request(now)
        return pending

    def remove(self, pending: PendingRequest[Future]) -> None:
        """Forget a request: it has ended, or its caller waits no more."""
        del self._pending[pending.request.nonce.encode()]

    def next_partition(self, pending: PendingRequest[Future], live: Iterable[Heartbeat]) -> int:
        """Return the partition that an attempt goes to; each goes to another router than those before, if there is one."""
        partition = self._partitions.choose(live, pending.tried)
        pending.tried.append(partition)
        return partition

    def sent(self, pending: PendingRequest[Future], error: BaseException | None) -> bool:
        """Take in what Kafka said of an attempt (None: it has it). Return whether to think of a retry.

        What Kafka has not taken yet needs no second copy, only patience.
        """
        if error is None:
            pending.acknowledged = True
            return not pending.future.done()
        if not pending.acknowledged and not pending.future.done():
            pending.future.set_exception(
                answer_for(error, "the request")
                if is_permanent(error)
                else BrokerUnavailable(f"Kafka did not take the request: {error}")
            )
        return False

    def retry_delay(self, pending: PendingRequest[Future], now: float) -> float | None:
        """Return after how many seconds without an answer to send a request again; None: not any more."""
        request = pending.request
        delay = self._delays.get(request.model, self._unknown).before(request.attempt + 1 + pending.refused)
        return delay if request.attempt < self._max_attempts and now + delay < pending.expires else None

    def retry(self, pending: PendingRequest[Future], now: float) -> bool:
        """Make the next attempt of a request; return whether it is to be sent. The budget may have nothing for it.

        It asks again then, less and less often: the budget fills up with each request.
        """
        if not self._budget.withdraw(now):
            pending.refused += 1
            return False
        pending.request = replace(pending.request, attempt=pending.request.attempt + 1)
        self.retries += 1
        return True

    def expire(self, pending: PendingRequest[Future]) -> None:
        """End a request that has waited as long as its caller wanted."""
        if not pending.future.done():
            pending.future.set_exception(
                DeadlineExceeded(f"no answer from {pending.request.model} within the deadline")
                if pending.acknowledged
                else BrokerUnavailable("Kafka did not take the request within its deadline")
            )

    def receive(self, record: ConsumerRecord, now: float, wall_clock: float) -> bool:
        """Take in a record of the reply partition; return whether a request was answered by it."""
        pending = self._pending.get(record.key)
        if pending is None or pending.future.done():
            self.foreign += 1
            return False
        reply = answer_to(pending.request, record)
        if reply is None:
            self.mismatched += 1  # whoever wrote that, the answer is still to come
            return False
        if reply.status == DeadlineExceeded.status and (skew := skew_of(record, wall_clock, pending.expires - now)):
            pending.future.set_exception(DeadlineExceeded(clocks_differ(skew)))
            return False
        pending.future.set_result(reply)
        if reply.ok and reply.attempt == 1:
            delay = self._delays.get(reply.model)
            if delay is None:
                delay = self._delays[reply.model] = RetryDelay(self._least_delay, self._uniform)
            delay.answered(now - pending.began)
        return True
