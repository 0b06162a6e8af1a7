"""Serve one model's requests with the versions that are loaded: a candidate's failures go to stable, copies wait."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from ..broker.kafka.delivery import Delivery
from ..resilience.circuit_breaker import BreakerRules, CircuitBreaker, State
from ..runtime.chaos import Chaos
from ..runtime.replies import ReplyWriter
from ..schemas.errors import CircuitOpen, DeadlineExceeded, ModelFailed, ModelRefusedInput, NoWorker, ShadowShed
from ..schemas.payloads.releases import Release
from ..schemas.records import PredictionRequest
from ..schemas.settings.worker import WorkerSettings
from ..telemetry.bookkeeping import Bookkeeping
from ..telemetry.tracing import Traces, is_sampled
from .metrics import WorkerMetrics
from .observer import Observer
from .request_traces import RequestTraces
from .results import BatchRun, RequestResult
from .shadow_queue import ShadowQueue
from .version_call import VersionCall
from .version_runner import VersionRunner

Server: TypeAlias = VersionRunner[VersionCall]
# Copies gather for so long: a few larger batches a second are in fewer primaries' way than many small ones.
SHADOW_PUMP_SECONDS = 0.1
SHADOW_RETRY_SECONDS = 0.005
# What a version may do wrong, as far as it alone can tell: a model that raises ValueError may be right about the inputs.
Fault: TypeAlias = ModelFailed | ModelRefusedInput
_FAULTS = (ModelFailed, ModelRefusedInput)


class ModelServer:
    """Takes requests and replies to each of them exactly once. `servers` and breakers go by the versions' identity."""

    def __init__(
        self,
        settings: WorkerSettings,
        model: str,
        servers: Mapping[str, Server],
        reply_writer: ReplyWriter,
        metrics: WorkerMetrics,
        observer: Observer,
        *,
        chaos: Chaos,
        is_busy: Callable[[], bool],
        why_not: Callable[[str], str],
        on_breaker: Callable[[str, State], None],
        traces: Traces,
        keep_books: Bookkeeping,
    ) -> None:
        self._traces = RequestTraces(traces, model)
        self._keep_books = keep_books
        self._chaos = chaos
        self._on_breaker = on_breaker
        self._rules = BreakerRules.from_settings(settings)
        self._breakers: dict[str, CircuitBreaker] = {}
        self.answered = 0
        self._settings = settings
        self._model = model
        self._servers = servers
        self._reply_writer = reply_writer
        self._metrics = metrics
        self._observer = observer
        self._is_busy = is_busy
        self._why_not = why_not
        self._shadows: ShadowQueue[tuple[PredictionRequest, Delivery]] = ShadowQueue(
            settings.shadow_queue, self._run_shadow, self._shed_shadow
        )
        self._pump_timer: asyncio.TimerHandle | None = None
        self._release: Release | None = None
        self._identities: dict[str, str] = {}  # of the release's versions, by number
        self.primaries = 0  # requests in hand that somebody waits for

    @property
    def release(self) -> Release | None:
        """The release that is served; None before the first."""
        return self._release

    @release.setter
    def release(self, release: Release) -> None:
        self._release, self._identities = release, release.identities

    def identity_of(self, request: PredictionRequest) -> str:
        """Return which version a request means; an older router names the number alone: it means the release's."""
        return request.version_id or self._identities.get(request.version, "")

    def submit(self, request: PredictionRequest, delivery: Delivery) -> None:
        """Serve a request; a shadow copy waits until nobody else does."""
        if request.role == "shadow":
            self._shadows.put((request, delivery), request.deadline)
            if self._pump_timer is None:
                self._pump_timer = asyncio.get_running_loop().call_later(SHADOW_PUMP_SECONDS, self._pump)
        else:
            self._submit_primary(request, delivery)

    def stop(self) -> None:
        """Shed the copies that wait; the requests in hand are still answered."""
        self._shadows.shed_all()

    def _submit_primary(self, request: PredictionRequest, delivery: Delivery) -> None:
        server = self._servers.get(self.identity_of(request))
        stable = self._stable_server() if not request.pinned_version else server  # a pinned version stands for itself
        where = {"model": self._model, "version": request.version, "routing_key": request.routing_key}
        if self._chaos.find("crash", **where) is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        if server is None or (stable is not None and server is not stable and not self._may(server)):
            # Its release is over, it does not load here, or its breaker is open: stable answers.
            server = stable
        if server is None:
            self._reply_writer.reply(request, delivery, NoWorker(self._why_not(request.version)))
            return
        if server is stable and not self._may(server):
            after = self._breaker(server.spec.identity, server.spec.version).retry_after(self._now())
            error = CircuitOpen(f"{server.spec.version} of {self._model} fails too often", retry_after=max(0.1, after))
            self._reply_writer.reply(request, delivery, error)
            return
        self.primaries += 1
        patience = max(0.0, request.deadline - time.time()) * self._settings.candidate_share
        attempt = VersionCall(delivery, self._now(), patience)
        if stable is not None and stable is not server:
            attempt.stable_in(patience, lambda: self._ask_stable(request, attempt, None))
        server.submit(request, attempt)

    def breaker_states(self) -> dict[str, State]:
        """Return the state of each version's breaker by identity, without the closed ones."""
        states = {identity: breaker.state(self._now()) for identity, breaker in self._breakers.items()}
        return {identity: state for identity, state in states.items() if state != "closed"}

    def forget(self, identity: str) -> None:
        """A version is gone."""
        self._breakers.pop(identity, None)

    def _may(self, server: Server) -> bool:
        return self._breaker(server.spec.identity, server.spec.version).allow(self._now())

    def _breaker(self, identity: str, version: str) -> CircuitBreaker:
        breaker = self._breakers.get(identity)
        if breaker is None:
            breaker = self._breakers[identity] = CircuitBreaker(
                self._rules, lambda state: self._on_breaker(version, state)
            )
        return breaker

    def _stable_server(self) -> Server | None:
        if self._release is None:
            return None
        return self._servers.get(self._identities[self._release.stable.version])

    def on_batch(self, batch: BatchRun) -> None:
        """Count a batch that a version ran."""
        self._keep_books("batch metrics", self._metrics.batch, self._model, batch)
        if traced := [traceparent for traceparent in batch.traceparents if is_sampled(traceparent)]:
            self._keep_books("traces", self._traces.batch, batch, traced)
        self._keep_books("statistics", self._observer.ran, self._model, batch)

    def answer(self, result: RequestResult[VersionCall]) -> None:
        """Reply with what a version made of a request, or let stable try."""
        self._keep_books("metrics", self._metrics.served, self._model, result.version, result.outcome)
        attempt = result.token
        if result.request.role != "shadow" and isinstance(result.outcome, bytes | ModelFailed):
            self._record(result.identity, result.version, isinstance(result.outcome, bytes))
        if result.request.role == "shadow":
            self._reply(result, attempt)
            self._pump()
        elif attempt.fallback_for is not None:
            self._fall_back(result, attempt.fallback_for)
        elif not attempt.settled:
            attempt.cancel_timer()
            if isinstance(result.outcome, _FAULTS) and self._fallback_of(result) is not None:
                if attempt.failure is None:
                    self._ask_stable(result.request, attempt, result.outcome)
                return  # stable was asked already, when it was late
            self._keep_books("statistics", self._count, result, attempt)
            self._settle(result, attempt)

    def _record(self, identity: str, version: str, good: bool) -> None:
        self._keep_books("breaker", self._breaker(identity, version).record, good, self._now())

    def _fallback_of(self, result: RequestResult[VersionCall]) -> Server | None:
        stable = self._stable_server() if not result.request.pinned_version else None
        return stable if stable is not None and stable.spec.identity != result.identity else None

    def _ask_stable(self, request: PredictionRequest, attempt: VersionCall, failure: Fault | None) -> None:
        """Let stable answer what the candidate failed on, or has not answered in its share of the time."""
        stable = self._stable_server()
        if attempt.settled or stable is None:
            return
        why = failure or DeadlineExceeded(f"no answer within {attempt.patience:.3f} s")
        attempt.fail(why)
        if failure is None and request.attempt == 1:
            whose = self._model, request.trial, request.version, self.identity_of(request)
            counted = (*whose, attempt.failed_after, why.detail)
            self._keep_books("statistics", self._observer.failed, *counted, late=True)
        stable.submit(request, VersionCall(attempt.delivery, self._now(), attempt.patience, fallback_for=attempt))

    def _fall_back(self, result: RequestResult[VersionCall], attempt: VersionCall) -> None:
        if attempt.settled:
            return  # the candidate was faster after all
        failure = attempt.failure
        if isinstance(failure, ModelRefusedInput) and isinstance(result.outcome, bytes):
            # Only now is it known that the inputs were good.
            self._record(self.identity_of(result.request), result.request.version, False)
        if isinstance(failure, _FAULTS) and result.request.attempt == 1:
            self._keep_books("statistics", self._count_fallback, result, failure, attempt.failed_after)
        self._settle(result, attempt, fallback=result.request.version)

    def _count_fallback(self, result: RequestResult[VersionCall], failure: Fault, seconds: float) -> None:
        request = result.request
        whose = self._model, request.trial, request.version, self.identity_of(request)
        if isinstance(result.outcome, bytes):
            self._observer.failed(*whose, seconds, failure.detail)
        else:
            # Stable cannot do it either: the fault is the request's, and no evidence against the candidate.
            self._observer.answered(*whose, seconds)

    def _count(self, result: RequestResult[VersionCall], attempt: VersionCall) -> None:
        """Count an answer to the version that gave it; what is the caller's fault counts for nobody.

        Nor does a request that was sent again: each request is evidence once, whoever answered it.
        """
        if attempt.failure is not None or result.request.attempt > 1:
            return  # counted already, as late, or where it came first
        seconds = self._now() - attempt.began
        request, outcome = result.request, result.outcome
        whose = self._model, request.trial, result.version, result.identity
        if isinstance(outcome, ModelFailed):
            self._observer.failed(*whose, seconds, outcome.detail)
        elif seconds > attempt.patience and isinstance(outcome, bytes | DeadlineExceeded):
            # The same measure as for a candidate, else an overload would look like the candidate's fault.
            self._observer.failed(*whose, seconds, "late", late=True)
        elif isinstance(outcome, bytes):
            self._observer.answered(*whose, seconds)

    def _settle(self, result: RequestResult[VersionCall], attempt: VersionCall, fallback: str = "") -> None:
        attempt.settled = True
        self.primaries -= 1
        self.answered += 1
        self._reply(result, attempt, fallback)

    def _reply(self, result: RequestResult[VersionCall], attempt: VersionCall, fallback: str = "") -> None:
        variant = self.release.stable.name if fallback and self.release is not None else ""
        if is_sampled(result.request.traceparent):
            self._keep_books("traces", self._traces.request, result, self._now() - attempt.began, fallback)
        request = result.request
        if (
            request.fill is not None
            and result.version == request.version
            and result.identity != self.identity_of(request)
        ):
            request = replace(request, fill=None)  # another version under the same number: not what would be kept
        self._reply_writer.reply(
            request,
            attempt.delivery,
            result.outcome,
            version=result.version,
            variant=variant,
            batch_rows=result.batch_rows,
            fallback=fallback,
            seconds=self._now() - attempt.began,
            content_type=result.content_type,
        )

    def _pump(self) -> None:
        """Run copies if nobody waits for anything else in this worker, and look again while some are left."""
        if self._pump_timer is not None:
            self._pump_timer.cancel()
            self._pump_timer = None
        shadow = self.release.variant("shadow") if self.release is not None else None
        server = self._servers.get(self._identities[shadow.version]) if shadow is not None else None
        # One batch at a time: a primary that comes meanwhile waits for no more than that.
        room = server.spec.batching.max_batch_size if server is not None and server.idle else 0
        self._shadows.pump(self._is_busy() or (server is not None and not room), room or 1, time.time())
        if self._shadows:
            # Sooner than they gather: who waits for a quiet moment must look often to find one.
            self._pump_timer = asyncio.get_running_loop().call_later(SHADOW_RETRY_SECONDS, self._pump)

    def _run_shadow(self, copy: tuple[PredictionRequest, Delivery]) -> None:
        request, delivery = copy
        server = self._servers.get(self.identity_of(request))
        if server is None:
            self._shed_shadow(copy)
        else:
            server.submit(request, VersionCall(delivery, self._now(), float("inf")))

    def _shed_shadow(self, copy: tuple[PredictionRequest, Delivery]) -> None:
        request, delivery = copy
        self._reply_writer.reply(request, delivery, ShadowShed())

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
