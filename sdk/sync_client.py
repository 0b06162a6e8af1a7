"""`ModelMeshClient`: the async client without async, for scripts and notebooks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sized
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from rich.progress import track

from ..schemas.errors import ModelMeshError
from .client import AsyncModelMeshClient, address
from .prediction import Prediction

T = TypeVar("T")


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

    def register_model(
        self,
        name: str,
        model_object: Any,
        framework: str | None = None,
        metadata: dict[str, Any] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Register a model object or a file; see AsyncModelMeshClient.register_model for the options."""
        return self._wait(self._client.register_model(name, model_object, framework, metadata, **options))

    def predict(
        self,
        name: str,
        inputs: Any,
        *,
        routing_key: str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Prediction:
        """Return the prediction for one row, several rows or an object of named features."""
        return self._wait(
            self._client.predict(name, inputs, routing_key=routing_key, request_id=request_id, timeout=timeout)
        )

    def predict_stream(
        self,
        name: str,
        rows: Iterable[Any],
        *,
        in_flight: int = 256,
        on_progress: Callable[[int], None] | None = None,
        progress: bool = False,
        **options: Any,
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

    def predict_batch(self, name: str, rows: Any) -> list[Prediction | ModelMeshError]:
        """Return a prediction for each row, or the error of a row that failed."""
        return self._wait(self._client.predict_batch(name, rows))

    def models(self, *, page: int = 1, per_page: int = 50, framework: str | None = None) -> list[dict[str, Any]]:
        """Return one page of models by name."""
        return self._wait(self._client.models(page=page, per_page=per_page, framework=framework))

    def versions(self, name: str) -> list[dict[str, Any]]:
        """Return a model's versions, oldest first."""
        return self._wait(self._client.versions(name))

    def deploy(
        self, name: str, version: str, *, generation: int | None = None, actor: str = "", reason: str = ""
    ) -> dict[str, Any]:
        """Send all requests to a version."""
        return self._wait(self._client.deploy(name, version, generation=generation, actor=actor, reason=reason))

    def create_canary(
        self,
        name: str,
        candidate_version: str,
        initial_percentage: float | None = None,
        auto_rollback_threshold: float | None = None,
        **rules: Any,
    ) -> dict[str, Any]:
        """Try a version on a share of the requests; see AsyncModelMeshClient.create_canary for the rules."""
        return self._wait(
            self._client.create_canary(name, candidate_version, initial_percentage, auto_rollback_threshold, **rules)
        )

    def canary(self, name: str) -> dict[str, Any]:
        """Return a canary with its evidence."""
        return self._wait(self._client.canary(name))

    def set_canary_percentage(self, name: str, percentage: float, **wish: Any) -> dict[str, Any]:
        """Change a canary's share of the requests."""
        return self._wait(self._client.set_canary_percentage(name, percentage, **wish))

    def promote_canary(self, name: str, **wish: Any) -> dict[str, Any]:
        """Send everything to the candidate."""
        return self._wait(self._client.promote_canary(name, **wish))

    def rollback_canary(self, name: str, **wish: Any) -> dict[str, Any]:
        """Send everything to stable."""
        return self._wait(self._client.rollback_canary(name, **wish))

    def counterfactual(self, name: str, **rules: Any) -> dict[str, Any]:
        """Return how a recorded canary would have ended under other rules."""
        return self._wait(self._client.counterfactual(name, **rules))

    def create_shadow(
        self, name: str, production_version: str | None, shadow_version: str, percentage: float = 100.0, **wish: Any
    ) -> dict[str, Any]:
        """Send copies of the requests to a version whose answers nobody gets."""
        return self._wait(self._client.create_shadow(name, production_version, shadow_version, percentage, **wish))

    def stop_shadow(self, name: str, **wish: Any) -> dict[str, Any]:
        """Send no more copies."""
        return self._wait(self._client.stop_shadow(name, **wish))

    def create_experiment(
        self, model: str, variants: list[dict[str, Any]], name: str = "", **wish: Any
    ) -> dict[str, Any]:
        """Share the users out over versions: [{"name", "version", "weight"}, ...], the control first."""
        return self._wait(self._client.create_experiment(model, variants, name, **wish))

    def experiment(self, name: str) -> dict[str, Any]:
        """Return an experiment with its results."""
        return self._wait(self._client.experiment(name))

    def stop_experiment(self, name: str, winner: str = "", **wish: Any) -> dict[str, Any]:
        """End an experiment; the winner goes live, without one the control."""
        return self._wait(self._client.stop_experiment(name, winner, **wish))

    def drift(self, name: str) -> dict[str, Any]:
        """Return how the live inputs differ from the reference."""
        return self._wait(self._client.drift(name))

    def latency(self, name: str | None = None) -> dict[str, Any]:
        """Return p50, p95 and p99 in ms over 1 min, 5 min and 1 h."""
        return self._wait(self._client.latency(name))

    def send_labels(self, name: str, labels: Mapping[str, Any]) -> int:
        """Say what was right, by request id; return how many labels were taken."""
        return self._wait(self._client.send_labels(name, labels))

    def accuracy(self, name: str) -> dict[str, Any]:
        """Return how right each version's answers were, over 1 h, 24 h and all labels."""
        return self._wait(self._client.accuracy(name))

    def errors(self, name: str | None = None) -> dict[str, Any]:
        """Return requests, failures and the failure rate of the present trial, by model and version."""
        return self._wait(self._client.errors(name))

    def start_replay(self, name: str, version: str, begin: datetime, **options: Any) -> dict[str, Any]:
        """Have recorded requests run against a version, away from production."""
        return self._wait(self._client.start_replay(name, version, begin, **options))

    def replay(self, replay_id: str) -> dict[str, Any]:
        """Return how far a replay is, and its report when it is done."""
        return self._wait(self._client.replay(replay_id))

    def replays(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the newest replays without their reports."""
        return self._wait(self._client.replays(name))

    def inference_log(
        self,
        name: str | None = None,
        *,
        version: str | None = None,
        status: int | str | None = None,
        page: int = 1,
        per_page: int = 50,
        request_id: str | None = None,
    ) -> list[dict[str, Any]]:
        """Return requests with their outcomes, newest first; `status` "none": those that have none yet."""
        return self._wait(
            self._client.inference_log(
                name, version=version, status=status, page=page, per_page=per_page, request_id=request_id
            )
        )

    def inference(self, request_id: str, *, model: str | None = None, nonce: str | None = None) -> dict[str, Any]:
        """Return one request with its outcome. Raises NotFound while the log does not have it.

        Raises SeveralRequests where more than one has the id, and neither `model` nor `nonce` says which.
        """
        return self._wait(self._client.inference(request_id, model=model, nonce=nonce))

    def shadow(self, name: str) -> dict[str, Any]:
        """Return how a shadow's answers differ from production's."""
        return self._wait(self._client.shadow(name))

    def watch(self, name: str | None = None) -> Iterator[dict[str, Any]]:
        """Iterate over events as they come, without end."""
        events = self._client.watch(name)
        try:
            while True:
                yield self._wait(anext(events))  # type: ignore[arg-type]
        finally:
            self._wait(events.aclose())  # type: ignore[attr-defined]

    def deployments(self) -> list[dict[str, Any]]:
        """Return every model's release as it is now."""
        return self._wait(self._client.deployments())

    def history(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return what happened to the releases, newest first."""
        return self._wait(self._client.history(name))

    def delete_model(self, name: str) -> dict[str, Any]:
        """Remove a model whole, live or not: release, versions and files, for good."""
        return self._wait(self._client.delete_model(name))

    def delete_version(self, name: str, version: str) -> None:
        """Forget a version that no release uses."""
        self._wait(self._client.delete_version(name, version))

    def dashboard_state(self) -> dict[str, Any]:
        """Return what the dashboard shows now: every model with what the judge knows, and every live replica."""
        return self._wait(self._client.dashboard_state())

    def health(self) -> dict[str, Any]:
        """Return what works."""
        return self._wait(self._client.health())

    async def _open(self, url: str, **options: Any) -> AsyncModelMeshClient:
        # In the client's own loop: the Kafka side looks for it when it is made.
        return await AsyncModelMeshClient(url, **options).__aenter__()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
