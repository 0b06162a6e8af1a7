"""`ModelMeshClient`: the async client without async, for scripts and notebooks."""

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
from .client import AsyncModelMeshClient, address
from .options import PredictOptions
from .prediction import Prediction

P = ParamSpec("P")
T = TypeVar("T")


def _waits(
    call: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[ModelMeshClient, P], T]:
    """Return the method of the client without async that does the same, with the same parameters."""

    @wraps(call)
    def method(self: ModelMeshClient, /, *args: P.args, **options: P.kwargs) -> T:
        return self._wait(call(self._client, *args, **options))

    return method


class ModelMeshClient:
    """The same without async, for scripts and notebooks. Each method does what its async twin does.

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
        url = address(url, base_url)
        # A loop of its own in a thread: it works where a loop runs already, as in a notebook.
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

    register_model = _waits(AsyncModelMeshClient.register_model)
    predict = _waits(AsyncModelMeshClient.predict)
    predict_batch = _waits(AsyncModelMeshClient.predict_batch)
    models = _waits(AsyncModelMeshClient.models)
    versions = _waits(AsyncModelMeshClient.versions)
    delete_model = _waits(AsyncModelMeshClient.delete_model)
    delete_version = _waits(AsyncModelMeshClient.delete_version)

    deploy = _waits(AsyncModelMeshClient.deploy)
    create_canary = _waits(AsyncModelMeshClient.create_canary)
    canary = _waits(AsyncModelMeshClient.canary)
    set_canary_percentage = _waits(AsyncModelMeshClient.set_canary_percentage)
    promote_canary = _waits(AsyncModelMeshClient.promote_canary)
    rollback_canary = _waits(AsyncModelMeshClient.rollback_canary)
    counterfactual = _waits(AsyncModelMeshClient.counterfactual)
    create_shadow = _waits(AsyncModelMeshClient.create_shadow)
    stop_shadow = _waits(AsyncModelMeshClient.stop_shadow)
    create_experiment = _waits(AsyncModelMeshClient.create_experiment)
    experiment = _waits(AsyncModelMeshClient.experiment)
    stop_experiment = _waits(AsyncModelMeshClient.stop_experiment)
    deployments = _waits(AsyncModelMeshClient.deployments)
    history = _waits(AsyncModelMeshClient.history)

    drift = _waits(AsyncModelMeshClient.drift)
    latency = _waits(AsyncModelMeshClient.latency)
    accuracy = _waits(AsyncModelMeshClient.accuracy)
    errors = _waits(AsyncModelMeshClient.errors)
    shadow = _waits(AsyncModelMeshClient.shadow)
    send_labels = _waits(AsyncModelMeshClient.send_labels)
    dashboard_state = _waits(AsyncModelMeshClient.dashboard_state)
    health = _waits(AsyncModelMeshClient.health)

    inference_log = _waits(AsyncModelMeshClient.inference_log)
    inference = _waits(AsyncModelMeshClient.inference)
    start_replay = _waits(AsyncModelMeshClient.start_replay)
    replay = _waits(AsyncModelMeshClient.replay)
    replays = _waits(AsyncModelMeshClient.replays)

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
        """Iterate over the predictions for many rows, in their order, with so many in flight and no more in memory.

        A row that failed gives its error in place of a prediction. `progress` shows a bar, with the time left where the number
        of rows is known; `on_progress` gets how many are answered.
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
        # In the client's own loop: the Kafka side looks for it when it is made.
        return await AsyncModelMeshClient(url, **options).__aenter__()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
