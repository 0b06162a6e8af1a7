"""`ModelMeshClient`: the synchronous client, for scripts and notebooks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sized
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack

from rich.progress import track

from ..schemas.documents.releases import EventDocument
from ..schemas.errors import ModelMeshError
from .client import AsyncModelMeshClient, gateway_url
from .options import PredictOptions
from .prediction import Prediction

P = ParamSpec("P")
T = TypeVar("T")


def _synchronous(
    call: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[ModelMeshClient, P], T]:
    """Return a synchronous method that runs an async one, with the same parameters."""

    @wraps(call)
    def method(self: ModelMeshClient, /, *args: P.args, **options: P.kwargs) -> T:
        return self._wait(call(self._client, *args, **options))

    return method


class ModelMeshClient:
    """The synchronous client, for scripts and notebooks. Each method does the same as that of AsyncModelMeshClient.

    with ModelMeshClient() as client:
        client.register_model("fraud", pipeline, sample=rows)
        client.predict("fraud", inputs={"amount": 200, "merchant": "Acme"}).label
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        base_url: str | None = None,
        kafka: str | None = None,
        timeout: float = 60.0,
        api_key: str | None = None,
        ca: str | Path | None = None,
    ) -> None:
        url = gateway_url(url, base_url)
        # Its event loop runs in a thread, so that it also works where a loop runs already, as in a notebook.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="modelmesh-client", daemon=True)
        self._thread.start()
        self._client = self._wait(self._open(url, kafka=kafka, timeout=timeout, api_key=api_key, ca=ca))

    def __enter__(self) -> ModelMeshClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if not self._loop.is_running():
            return
        self._wait(self._client.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    register_model = _synchronous(AsyncModelMeshClient.register_model)
    predict = _synchronous(AsyncModelMeshClient.predict)
    predict_batch = _synchronous(AsyncModelMeshClient.predict_batch)
    models = _synchronous(AsyncModelMeshClient.models)
    versions = _synchronous(AsyncModelMeshClient.versions)
    delete_model = _synchronous(AsyncModelMeshClient.delete_model)
    delete_version = _synchronous(AsyncModelMeshClient.delete_version)

    deploy = _synchronous(AsyncModelMeshClient.deploy)
    create_canary = _synchronous(AsyncModelMeshClient.create_canary)
    canary = _synchronous(AsyncModelMeshClient.canary)
    set_canary_percentage = _synchronous(AsyncModelMeshClient.set_canary_percentage)
    promote_canary = _synchronous(AsyncModelMeshClient.promote_canary)
    rollback_canary = _synchronous(AsyncModelMeshClient.rollback_canary)
    pause_canary = _synchronous(AsyncModelMeshClient.pause_canary)
    resume_canary = _synchronous(AsyncModelMeshClient.resume_canary)
    exclude_comparison = _synchronous(AsyncModelMeshClient.exclude_comparison)
    include_comparison = _synchronous(AsyncModelMeshClient.include_comparison)
    hold_canary = _synchronous(AsyncModelMeshClient.hold_canary)
    counterfactual = _synchronous(AsyncModelMeshClient.counterfactual)
    create_shadow = _synchronous(AsyncModelMeshClient.create_shadow)
    stop_shadow = _synchronous(AsyncModelMeshClient.stop_shadow)
    create_experiment = _synchronous(AsyncModelMeshClient.create_experiment)
    experiment = _synchronous(AsyncModelMeshClient.experiment)
    stop_experiment = _synchronous(AsyncModelMeshClient.stop_experiment)
    deployments = _synchronous(AsyncModelMeshClient.deployments)
    history = _synchronous(AsyncModelMeshClient.history)

    drift = _synchronous(AsyncModelMeshClient.drift)
    latency = _synchronous(AsyncModelMeshClient.latency)
    accuracy = _synchronous(AsyncModelMeshClient.accuracy)
    errors = _synchronous(AsyncModelMeshClient.errors)
    shadow = _synchronous(AsyncModelMeshClient.shadow)
    send_labels = _synchronous(AsyncModelMeshClient.send_labels)
    dashboard_state = _synchronous(AsyncModelMeshClient.dashboard_state)
    health = _synchronous(AsyncModelMeshClient.health)

    inference_log = _synchronous(AsyncModelMeshClient.inference_log)
    inference = _synchronous(AsyncModelMeshClient.inference)
    start_replay = _synchronous(AsyncModelMeshClient.start_replay)
    replay = _synchronous(AsyncModelMeshClient.replay)
    replays = _synchronous(AsyncModelMeshClient.replays)

    def predict_stream(
        self,
        name: str,
        rows: Iterable[Any],
        *,
        in_flight: int = 256,
        on_progress: Callable[[int], None] | None = None,
        progress: bool = False,
        **options: Unpack[PredictOptions],
    ) -> Iterator[Prediction | ModelMeshError]:
        """Iterate over the predictions for many rows, in their order, with at most `in_flight` requests at a time.

        A failed row yields its error instead of a prediction. `progress` shows a progress bar, with the remaining time if the
        number of rows is known; `on_progress` is called with the number of answered rows.
        """
        if progress:
            answered = self.predict_stream(name, rows, in_flight=in_flight, on_progress=on_progress, **options)
            total = len(rows) if isinstance(rows, Sized) else None
            yield from track(answered, description=name, total=total, transient=True)
            return
        answers = self._client.predict_stream(name, rows, in_flight=in_flight, on_progress=on_progress, **options)

        async def step() -> Prediction | ModelMeshError | None:
            return await anext(answers, None)

        try:
            while (answer := self._wait(step())) is not None:
                yield answer
        finally:
            self._wait(answers.aclose())

    def watch(self, name: str | None = None) -> Iterator[EventDocument]:
        """Iterate over events as they come, without end."""
        events = self._client.watch(name)

        async def step() -> EventDocument:
            return await anext(events)

        try:
            while True:
                yield self._wait(step())
        finally:
            self._wait(events.aclose())

    async def _open(self, url: str, **options: Any) -> AsyncModelMeshClient:
        # Created in the client's own loop, since the Kafka client binds to the running loop.
        return await AsyncModelMeshClient(url, **options).__aenter__()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
