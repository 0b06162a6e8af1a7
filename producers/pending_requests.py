"""Requests that wait for their answers: matching replies, retries and expiry. No I/O.

Times are in seconds on any monotonic clock. Each request ends once: answered, failed, expired, or cancelled by its caller.
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

# Retries per second that need no budget, and the retry delay in seconds of a model without any answers yet.
RESERVE = 1.0
DEFAULT_DELAY = 1.0


class Outcome(Protocol):
    """The future that gets the answer: of asyncio or concurrent.futures."""

    def done(self) -> bool:
        """Whether the request has ended."""

    def set_result(self, result: Reply, /) -> None:
        """End the request with an answer."""

    def set_exception(self, exception: BaseException, /) -> None:
        """End the request with an error."""


Future = TypeVar("Future", bound=Outcome)


@dataclass(slots=True, eq=False)
class PendingRequest(Generic[Future]):
    """A request in flight. Its caller waits until `expires`."""

    request: PredictionRequest
    future: Future
    began: float
    expires: float
    acknowledged: bool = False  # whether Kafka has acknowledged an attempt
    refused: int = 0  # retries that the budget refused
    tried: list[int] = field(default_factory=list)  # the partition of each attempt
    retry: asyncio.TimerHandle | None = None  # the timer of the next retry


class PendingRequests(Generic[Future]):
    """The requests in flight of one client, by nonce. `uniform` draws from 0 to 1, for the jitter of delays."""

    def __init__(
        self,
        partitions: RequestPartitions,
        *,
        max_attempts: int,
        retry_budget: float,
        min_delay: float,
        uniform: Callable[[], float],
    ) -> None:
        self._partitions = partitions
        self._max_attempts = max_attempts
        self._min_delay = min_delay
        self._uniform = uniform
        self._budget = RetryBudget(retry_budget, RESERVE)
        self._default_delay = RetryDelay(DEFAULT_DELAY, uniform)
        self._delays: dict[str, RetryDelay] = {}
        self._pending: dict[bytes, PendingRequest[Future]] = {}
        self.retries = 0
        self.foreign = 0  # replies to no request in flight here: of other clients, second or late ones
        self.mismatched = 0  # replies whose nonce matches a request but not the rest

    def __len__(self) -> int:
        """Number of requests."""
        return len(self._pending)

    def __iter__(self) -> Iterator[PendingRequest[Future]]:
        """Iterate over the requests, oldest first."""
        return iter(self._pending.values())

    def add(self, request: PredictionRequest, future: Future, now: float, seconds: float) -> PendingRequest[Future]:
        """Add a request before its first attempt."""
        pending = self._pending[request.nonce.encode()] = PendingRequest(request, future, now, now + seconds)
        self._budget.request(now)
        return pending

    def remove(self, pending: PendingRequest[Future]) -> None:
        """Remove a request that has ended or was cancelled."""
        del self._pending[pending.request.nonce.encode()]

    def next_partition(self, pending: PendingRequest[Future], live: Iterable[Heartbeat]) -> int:
        """Return the partition for the next attempt: of a router that has not had the request, if there is one."""
        partition = self._partitions.choose(live, pending.tried)
        pending.tried.append(partition)
        return partition

    def sent(self, pending: PendingRequest[Future], error: BaseException | None) -> bool:
        """Note Kafka's answer to an attempt; None: acknowledged. Return whether to schedule a retry.

        There is no retry before the acknowledgement: the producer itself retries until then.
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
        """Return the seconds until the next retry, or None if there is none left."""
        request = pending.request
        delay = self._delays.get(request.model, self._default_delay).before(request.attempt + 1 + pending.refused)
        return delay if request.attempt < self._max_attempts and now + delay < pending.expires else None

    def retry(self, pending: PendingRequest[Future], now: float) -> bool:
        """Begin the next attempt if the retry budget allows it; return whether to send it.

        If refused, the next try comes later, with increasing delays: the budget grows with each request.
        """
        if not self._budget.withdraw(now):
            pending.refused += 1
            return False
        pending.request = replace(pending.request, attempt=pending.request.attempt + 1)
        self.retries += 1
        return True

    def expire(self, pending: PendingRequest[Future]) -> None:
        """End a request whose deadline has passed."""
        if not pending.future.done():
            pending.future.set_exception(
                DeadlineExceeded(f"no answer from {pending.request.model} within the deadline")
                if pending.acknowledged
                else BrokerUnavailable("Kafka did not take the request within its deadline")
            )

    def receive(self, record: ConsumerRecord, now: float, wall_clock: float) -> float | None:
        """Process a record of the reply partition; return the request's seconds until this answer, or None if it is none."""
        pending = self._pending.get(record.key)
        if pending is None or pending.future.done():
            self.foreign += 1
            return None
        reply = answer_to(pending.request, record)
        if reply is None:
            self.mismatched += 1  # the real answer may still come
            return None
        if reply.status == DeadlineExceeded.status and (skew := skew_of(record, wall_clock, pending.expires - now)):
            pending.future.set_exception(DeadlineExceeded(clocks_differ(skew)))
            return None
        pending.future.set_result(reply)
        seconds = now - pending.began
        if reply.ok and reply.attempt == 1:
            delay = self._delays.get(reply.model)
            if delay is None:
                delay = self._delays[reply.model] = RetryDelay(self._min_delay, self._uniform)
            delay.answered(seconds)
        return seconds
