"""Serves one model's requests with its loaded versions: stable is the fallback for a candidate, and shadow copies wait."""

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
from .mirror import Mirror
from .observer import Observer
from .outcome_counts import OutcomeCounts
from .request_traces import RequestTraces
from .shadow_queue import ShadowQueue
from .versions.call import VersionCall
from .versions.results import BatchRun, RequestResult
from .versions.runner import VersionRunner

Server: TypeAlias = VersionRunner[VersionCall]
# Seconds for which shadow copies are collected: a few large batches delay fewer primaries than many small ones.
SHADOW_PUMP_SECONDS = 0.1
SHADOW_RETRY_SECONDS = 0.005
# Possible failures of a version. A refusal (ValueError) may be the inputs' fault: it is the version's if stable accepts them.
Failure: TypeAlias = ModelFailed | ModelRefusedInput
_FAILURES = (ModelFailed, ModelRefusedInput)


class ModelServer:
    """Replies to each request exactly once. `servers` and breakers are by the versions' identity."""

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
        not_loaded_message: Callable[[str], str],
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
        self._outcomes = OutcomeCounts(model, observer)
        self._is_busy = is_busy
        self._not_loaded_message = not_loaded_message
        self._shadows: ShadowQueue[tuple[PredictionRequest, Delivery]] = ShadowQueue(
            settings.shadow_queue, self._run_shadow, self._shed_shadow
        )
        self._mirror = Mirror(
            lambda trial: observer.pairs(model, trial), self._stable_server, is_busy=is_busy, keep_books=keep_books
        )
        self._pump_timer: asyncio.TimerHandle | None = None
        self._release: Release | None = None
        self._identities: dict[str, str] = {}  # of the release's versions, by number
        self.primaries = 0  # requests in hand, without shadow copies

    @property
    def release(self) -> Release | None:
        """The current release; None before the first."""
        return self._release

    @release.setter
    def release(self, release: Release) -> None:
        self._release, self._identities = release, release.identities
        self._mirror.follow(release)

    def identity_of(self, request: PredictionRequest) -> str:
        """Return the identity of a request's version. An older router sends only the number: the release's identity then."""
        return request.version_id or self._identities.get(request.version, "")

    def submit(self, request: PredictionRequest, delivery: Delivery) -> None:
        """Serve a request; a shadow copy waits until there are no other requests."""
        if request.role == "shadow":
            self._shadows.put((request, delivery), request.deadline)
            if self._pump_timer is None:
                self._pump_timer = asyncio.get_running_loop().call_later(SHADOW_PUMP_SECONDS, self._pump)
        else:
            self._submit_primary(request, delivery)

    def stop(self) -> None:
        """Shed the waiting shadow copies; the requests in hand are still answered."""
        self._shadows.shed_all()
        self._mirror.stop()

    def _submit_primary(self, request: PredictionRequest, delivery: Delivery) -> None:
        server = self._servers.get(self.identity_of(request))
        stable = self._stable_server() if not request.pinned_version else server  # a pinned version has no fallback
        where = {"model": self._model, "version": request.version, "routing_key": request.routing_key}
        if self._chaos.find("crash", **where) is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        if server is None or (stable is not None and server is not stable and not self._allowed(server)):
            # The version is unloaded or not loadable here, or its breaker is open: stable answers.
            server = stable
        if server is None:
            self._reply_writer.reply(request, delivery, NoWorker(self._not_loaded_message(request.version)))
            return
        if server is stable and not self._allowed(server):
            after = self._breaker(server.spec.identity, server.spec.version).retry_after(self._now())
            error = CircuitOpen(f"{server.spec.version} of {self._model} fails too often", retry_after=max(0.1, after))
            self._reply_writer.reply(request, delivery, error)
            return
        self.primaries += 1
        timeout = max(0.0, request.deadline - time.time()) * self._settings.candidate_share
        call = VersionCall(delivery, self._now(), timeout)
        if stable is not None and stable is not server:
            call.start_timer(lambda: self._fall_back(request, call, None))
        server.submit(request, call)

    def breaker_states(self) -> dict[str, State]:
        """Return the states of the breakers that are not closed, by identity."""
        states = {identity: breaker.state(self._now()) for identity, breaker in self._breakers.items()}
        return {identity: state for identity, state in states.items() if state != "closed"}

    def forget(self, identity: str) -> None:
        """Drop the breaker of an unloaded version."""
        self._breakers.pop(identity, None)

    def _allowed(self, server: Server) -> bool:
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
        if self._mirror.watches(batch.identity):
            # Called before the batch is answered: what the mirror keeps of it, it takes afterwards.
            asyncio.get_running_loop().call_soon(self._keep_books, "mirror", self._mirror.take, batch)

    def answer(self, result: RequestResult[VersionCall]) -> None:
        """Reply with a version's result, or fall back to stable."""
        self._keep_books("metrics", self._metrics.served, self._model, result.version, result.outcome)
        call = result.token
        if result.request.role != "shadow" and isinstance(result.outcome, bytes | ModelFailed):
            self._record(result.identity, result.version, isinstance(result.outcome, bytes))
        if result.request.role == "shadow":
            self._reply(result, call)
            self._pump()
        elif call.fallback_for is not None:
            self._on_fallback_result(result, call.fallback_for)
        elif not call.settled:
            call.cancel_timer()
            if isinstance(result.outcome, _FAILURES) and self._fallback_of(result) is not None:
                if call.failure is None:
                    self._fall_back(result.request, call, result.outcome)
                return  # stable was called already, after the timeout
            self._keep_books("statistics", self._outcomes.count, result, call, self._now() - call.began)
            self._settle(result, call)

    def _record(self, identity: str, version: str, good: bool) -> None:
        self._keep_books("breaker", self._breaker(identity, version).record, good, self._now())

    def _fallback_of(self, result: RequestResult[VersionCall]) -> Server | None:
        stable = self._stable_server() if not result.request.pinned_version else None
        return stable if stable is not None and stable.spec.identity != result.identity else None

    def _fall_back(self, request: PredictionRequest, call: VersionCall, failure: Failure | None) -> None:
        """Call stable, since the candidate failed (`failure`) or has not answered within its timeout (None)."""
        stable = self._stable_server()
        if call.settled or stable is None:
            return
        reason = failure or DeadlineExceeded(f"no answer within {call.timeout:.3f} s")
        call.fail(reason)
        if failure is None:
            self._keep_books("statistics", self._outcomes.late, request, self.identity_of(request), call, reason.detail)
        stable.submit(request, VersionCall(call.delivery, self._now(), call.timeout, fallback_for=call))

    def _on_fallback_result(self, result: RequestResult[VersionCall], call: VersionCall) -> None:
        if call.settled:
            return  # the candidate was faster after all
        failure = call.failure
        if isinstance(failure, ModelRefusedInput) and isinstance(result.outcome, bytes):
            # Stable accepted the inputs, so the refusal was the candidate's failure.
            self._record(self.identity_of(result.request), result.request.version, False)
        if isinstance(failure, _FAILURES):
            identity = self.identity_of(result.request)
            self._keep_books("statistics", self._outcomes.fell_back, result, identity, failure, call.failed_after)
        self._settle(result, call, fallback=result.request.version)

    def _settle(self, result: RequestResult[VersionCall], call: VersionCall, fallback: str = "") -> None:
        call.settled = True
        self.primaries -= 1
        self.answered += 1
        self._reply(result, call, fallback)

    def _reply(self, result: RequestResult[VersionCall], call: VersionCall, fallback: str = "") -> None:
        variant = self.release.stable.name if fallback and self.release is not None else ""
        if is_sampled(result.request.traceparent):
            self._keep_books("traces", self._traces.request, result, self._now() - call.began, fallback)
        request = result.request
        if (
            request.fill is not None
            and result.version == request.version
            and result.identity != self.identity_of(request)
        ):
            request = replace(request, fill=None)  # another version with the same number: not to be cached
        self._reply_writer.reply(
            request,
            call.delivery,
            result.outcome,
            version=result.version,
            variant=variant,
            batch_rows=result.batch_rows,
            fallback=fallback,
            seconds=self._now() - call.began,
            content_type=result.content_type,
        )

    def _pump(self) -> None:
        """Run shadow copies if the worker has no other requests, and schedule the next check while some are left."""
        if self._pump_timer is not None:
            self._pump_timer.cancel()
            self._pump_timer = None
        shadow = self.release.variant("shadow") if self.release is not None else None
        server = self._servers.get(self._identities[shadow.version]) if shadow is not None else None
        # One batch at a time, so that a new primary waits for at most one.
        free_rows = server.spec.batching.max_batch_size if server is not None and server.idle else 0
        self._shadows.pump(self._is_busy() or (server is not None and not free_rows), free_rows or 1, time.time())
        if self._shadows:
            # More often than copies are collected, to find an idle moment.
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
