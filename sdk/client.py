"""`AsyncModelMeshClient`: register, release and predict over HTTP."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import aiohttp
import orjson

from ..models.adapters.base import SavesSafely
from ..models.adapters.registry import adapter_for
from ..models.values.json_values import json_of
from ..producers.client import PredictionClient
from ..schemas.errors import InvalidInput, ModelMeshError, PickleRefused, from_problem
from .column_types import signature_of
from .gateway_session import AllRowsFailed, GatewaySession
from .model_file import sample_rows, save_model
from .prediction import Prediction
from .rows import body_of, data_digest, inputs_of, is_table, rows_json, rows_of

DEFAULT_URL = "http://127.0.0.1:8000"
REFERENCE_ROWS = 5000
LABELS_AT_ONCE = 5000


def address(url: str | None, base_url: str | None) -> str:
    """Return the gateway's address by whichever of its two names was used. Raises InvalidInput where they differ."""
    if url is not None and base_url is not None and url != base_url:
        raise InvalidInput("url and base_url are two names of one address: give one", field="base_url")
    return url or base_url or DEFAULT_URL


class AsyncModelMeshClient:
    """Talks to a gateway. Use it as an async context manager; errors are those of `modelmesh.schemas.errors`.

    async with AsyncModelMeshClient("http://127.0.0.1:8000") as client:
        await client.register_model("fraud", pipeline, sample=rows)
        (await client.predict("fraud", inputs={"amount": 200, "merchant": "Acme"})).label
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
        """Take the gateway's address (`base_url` is the same as `url`), an API key (else MODELMESH_API_KEY) and who signed
        its certificate, if nobody known.

        With `kafka` ("host:9092") predictions go straight over the log, without the gateway; all else still asks it.
        """
        url = address(url, base_url)
        self.url = url.rstrip("/")
        self._kafka = PredictionClient(kafka=kafka) if kafka else None
        self._http = GatewaySession(
            url,
            timeout=timeout,
            api_key=api_key or os.environ.get("MODELMESH_API_KEY", ""),
            ca=ca or os.environ.get("MODELMESH_CA"),
        )

    async def __aenter__(self) -> AsyncModelMeshClient:
        self._http.open()
        if self._kafka is not None:
            try:
                await self._kafka.__aenter__()
            except BaseException:
                await self._http.close()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._kafka is not None:
                await self._kafka.__aexit__(kind, error, trace)
        finally:
            await self._http.close()

    async def register_model(
        self,
        name: str,
        model_object: Any,
        framework: str | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        version: str | None = None,
        sample: Any | None = None,
        parent: str | None = None,
        author: str = "",
        compile: bool = True,
        batching: dict[str, Any] | None = None,
        cache_ttl_seconds: float = 0.0,
        data: Any | None = None,
        idempotency_key: str | None = None,
        author_signature: str = "",
    ) -> dict[str, Any]:
        """Register a model object or the path of a file; return what was registered.

        `sample` is a few input rows (a DataFrame, an array or a list): the signature is inferred from them and their types,
        and the model proves itself on them; without them, on the first rows of `data`, or on what the model itself says it
        has seen. `data` is the training data: its digest is kept, and its first 5,000 rows are what live rows are compared
        with to see drift; without it the first live rows are. Of rows that take more than 32 MiB as JSON, large pictures say,
        the first that fit are sent. Without a version the major is raised. With
        `cache_ttl_seconds` an answer to the same inputs is given again for so long, which only a model that answers the same
        rows the same way may ask for. `author_signature` is what `modelmesh sign` gave for the file, where the deployment takes
        code from signers alone. Sent again with the same `idempotency_key`, within a day, it is not registered again.
        Raises RegistrationRefused, VersionExists, InvalidInput.
        """
        if sample is None and data is not None:
            sample = data[:100] if is_table(data) or hasattr(data, "shape") else rows_of(data)[:100]
        documents = {
            "metadata": metadata,
            "sample": None if sample is None else (sample_rows(model_object, sample) or [])[:100],
            "batching": batching,
            "cache_ttl_seconds": cache_ttl_seconds or None,
            "compile": compile,
            "reference": None if data is None else rows_of(data)[:REFERENCE_ROWS],
        }
        fields: dict[str, Any] = {"name": name, "version": version, "parent": parent, "author": author or None}
        fields["author_signature"] = author_signature or None
        if data is not None:
            fields["data_digest"] = await asyncio.to_thread(data_digest, data)
        for field, value in documents.items():
            if value is not None:
                fields[field] = (rows_json(value) if isinstance(value, list) else json_of(value)).decode()
        with tempfile.TemporaryDirectory() as folder:
            path, kind = await asyncio.to_thread(save_model, model_object, framework, sample, Path(folder))
            fields["framework"] = kind
            if kind == "sklearn" and sample is not None and (typed := signature_of(sample)) is not None:
                fields["signature"] = typed.model_dump_json(exclude_defaults=True)
            try:
                return await self._register(path, fields, idempotency_key)
            except PickleRefused:
                adapter = adapter_for(kind)
                if isinstance(model_object, str | Path) or not isinstance(adapter, SavesSafely):
                    raise
                # The deployment takes no code: send the same model as data, an estimator as skops, a torch module as ONNX.
                safe, fields["framework"] = await asyncio.to_thread(
                    adapter.save_safely, model_object, Path(folder), sample
                )
                return await self._register(safe, fields, idempotency_key)

    async def _register(self, path: Path, fields: dict[str, Any], key: str | None) -> dict[str, Any]:
        form = aiohttp.FormData()
        for field, value in fields.items():
            if value is not None:
                form.add_field(field, value)
        with path.open("rb") as file:
            form.add_field("artifact", file, filename=path.name)
            headers = {"Idempotency-Key": key} if key else {}
            registered: dict[str, Any] = await self._http.request("POST", "/models", data=form, headers=headers)
        return registered

    async def predict(
        self,
        name: str,
        inputs: Any,
        *,
        routing_key: str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Prediction:
        """Return the prediction for one row, several rows or an object of named features.

        `request_id` is a label, by which logs and labels speak of the prediction; any number of them may have the same.
        Without one it gets an id of its own, which the prediction carries.
        """
        request_id = request_id or uuid4().hex
        if self._kafka is not None:
            answer = await self._kafka.predict(
                name, inputs_of(inputs), routing_key=routing_key or "", deadline=timeout, request_id=request_id
            )
            return Prediction.from_document(answer, request_id)
        headers = {"X-Request-Id": request_id} | ({"X-Routing-Key": routing_key} if routing_key else {})
        if timeout is not None:
            headers["X-Timeout-Ms"] = str(max(1, round(timeout * 1000)))
        body = body_of(inputs_of(inputs))
        document = await self._http.request("POST", f"/predict/{name}", data=body, headers=headers)
        return Prediction.from_document(document, request_id)

    async def predict_stream(
        self,
        name: str,
        rows: Iterable[Any],
        *,
        in_flight: int = 256,
        on_progress: Callable[[int], None] | None = None,
        **options: Any,
    ) -> AsyncGenerator[Prediction | ModelMeshError, None]:
        """Iterate over the predictions for many rows, in their order, with so many in flight and no more in memory.

        A row that failed gives its error in place of a prediction. `on_progress` gets how many are answered.
        """
        rows = rows_of(rows) if hasattr(rows, "columns") or hasattr(rows, "detach") else rows
        waiting: deque[asyncio.Task[Prediction]] = deque()
        answered = 0

        async def next_one() -> Prediction | ModelMeshError:
            nonlocal answered
            try:
                return await waiting[0]
            except ModelMeshError as error:
                return error
            finally:
                waiting.popleft()
                answered += 1
                if on_progress is not None:
                    on_progress(answered)

        try:
            for row in rows:
                waiting.append(asyncio.create_task(self.predict(name, row, **options)))
                if len(waiting) >= in_flight:
                    yield await next_one()
            while waiting:
                yield await next_one()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def predict_batch(self, name: str, rows: Any) -> list[Prediction | ModelMeshError]:
        """Return a prediction for each row, or the error of a row that failed, in the order of the rows."""
        try:
            document = await self._http.request("POST", f"/predict/{name}/batch", data=body_of(rows_of(rows)))
        except AllRowsFailed as failed:
            document = failed.document
        return [
            from_problem(answer["error"]) if "error" in answer else Prediction.from_document(answer)
            for answer in document["predictions"]
        ]

    async def models(self, *, page: int = 1, per_page: int = 50, framework: str | None = None) -> list[dict[str, Any]]:
        """Return one page of models by name."""
        query: dict[str, Any] = {"page": page, "per_page": per_page} | ({"framework": framework} if framework else {})
        models: list[dict[str, Any]] = (await self._http.request("GET", "/models", params=query))["models"]
        return models

    async def versions(self, name: str) -> list[dict[str, Any]]:
        """Return a model's versions, oldest first. Raises ModelNotFound."""
        versions: list[dict[str, Any]] = (await self._http.request("GET", f"/models/{name}/versions"))["versions"]
        return versions

    async def deploy(
        self, name: str, version: str, *, generation: int | None = None, actor: str = "", reason: str = ""
    ) -> dict[str, Any]:
        """Send all requests to a version; return what came of it.

        Raises StaleGeneration when the release has moved on since `generation`, ControlPlaneUnavailable.
        """
        wish = {"model": name, "version": version, "generation": generation, "actor": actor, "reason": reason}
        deployed: dict[str, Any] = await self._http.request("POST", "/deployments", json=wish)
        return deployed

    async def create_canary(
        self,
        name: str,
        candidate_version: str,
        initial_percentage: float | None = None,
        auto_rollback_threshold: float | None = None,
        **rules: Any,
    ) -> dict[str, Any]:
        """Try a version on a share of the requests; the judge rolls it back when it is worse. Return what came of it.

        `rules` are those of POST /deployments/canary: steps, hold_seconds, window_seconds, min_requests, alpha,
        latency_tolerance, on_output_drift, on_drift, generation, actor, reason. Raises IllegalTransition while something
        else runs, SignatureDiffers, InvalidInput.
        """
        wish = {
            "model": name,
            "candidate_version": candidate_version,
            "initial_percentage": initial_percentage,
            "auto_rollback_threshold": auto_rollback_threshold,
            **rules,
        }
        return await self._change("/deployments/canary", wish)

    async def canary(self, name: str) -> dict[str, Any]:
        """Return a canary with its evidence, by the model's name or the canary's id. Raises NotFound."""
        canary: dict[str, Any] = await self._http.request("GET", f"/deployments/canary/{name}")
        return canary

    async def set_canary_percentage(self, name: str, percentage: float, **wish: Any) -> dict[str, Any]:
        """Change a canary's share of the requests."""
        return await self._change(f"/deployments/canary/{name}/percentage", {"percentage": percentage, **wish})

    async def promote_canary(self, name: str, **wish: Any) -> dict[str, Any]:
        """Send everything to the candidate."""
        return await self._change(f"/deployments/canary/{name}/promote", wish)

    async def rollback_canary(self, name: str, **wish: Any) -> dict[str, Any]:
        """Send everything to stable; needs no database."""
        return await self._change(f"/deployments/canary/{name}/rollback", wish)

    async def counterfactual(self, name: str, **rules: Any) -> dict[str, Any]:
        """Return how a recorded canary would have ended under other rules, by the model's name (the newest) or its id.

        `rules` are those of a canary: auto_rollback_threshold, window_seconds, min_requests, alpha, latency_tolerance,
        on_output_drift, steps; what is not given is as it was. Raises NotFound when its summaries are gone (after a day).
        """
        judged: dict[str, Any] = await self._http.request(
            "POST", f"/deployments/canary/{name}/counterfactual", json=rules
        )
        return judged

    async def create_shadow(
        self, name: str, production_version: str | None, shadow_version: str, percentage: float = 100.0, **wish: Any
    ) -> dict[str, Any]:
        """Send copies of the requests to a version whose answers nobody gets. Raises Conflict if another is live."""
        body = {
            "model": name,
            "production_version": production_version,
            "shadow_version": shadow_version,
            "percentage": percentage,
            **wish,
        }
        return await self._change("/deployments/shadow", body)

    async def stop_shadow(self, name: str, **wish: Any) -> dict[str, Any]:
        """Send no more copies."""
        return await self._change(f"/deployments/shadow/{name}/stop", wish)

    async def create_experiment(
        self, model: str, variants: list[dict[str, Any]], name: str = "", **wish: Any
    ) -> dict[str, Any]:
        """Share the users out over versions: [{"name", "version", "weight"}, ...], the control first."""
        return await self._change("/experiments", {"model": model, "variants": variants, "name": name, **wish})

    async def experiment(self, name: str) -> dict[str, Any]:
        """Return an experiment with its results, by the model's name or the experiment's id. Raises NotFound."""
        experiment: dict[str, Any] = await self._http.request("GET", f"/experiments/{name}")
        return experiment

    async def stop_experiment(self, name: str, winner: str = "", **wish: Any) -> dict[str, Any]:
        """End an experiment; the winner goes live, without one the control."""
        return await self._change(f"/experiments/{name}/stop", {"winner": winner, **wish})

    async def drift(self, name: str) -> dict[str, Any]:
        """Return how the live inputs differ from the reference, by version and feature. Raises NotFound."""
        drift: dict[str, Any] = await self._http.request("GET", f"/monitoring/drift/{name}")
        return drift

    async def latency(self, name: str | None = None) -> dict[str, Any]:
        """Return p50, p95 and p99 in ms over 1 min, 5 min and 1 h, by model and version."""
        query = {"model": name} if name else {}
        models: dict[str, Any] = (await self._http.request("GET", "/monitoring/latency", params=query))["models"]
        return models

    async def send_labels(self, name: str, labels: Mapping[str, Any]) -> int:
        """Say what was right, by request id: one value, or for a request of several rows one for each. Return how many.

        Each is compared with the answer within seconds: see `accuracy`. A later label replaces an earlier one.
        """
        taken, pairs = 0, iter(labels.items())
        while part := dict(islice(pairs, LABELS_AT_ONCE)):
            body = json_of({"labels": part})
            taken += (await self._http.request("POST", f"/labels/{name}", data=body))["accepted"]
        return taken

    async def accuracy(self, name: str) -> dict[str, Any]:
        """Return how right each version's answers were, over 1 h, 24 h and all labels. Raises NotFound before the first."""
        accuracy: dict[str, Any] = await self._http.request("GET", f"/monitoring/accuracy/{name}")
        return accuracy

    async def errors(self, name: str | None = None) -> dict[str, Any]:
        """Return requests, failures and the failure rate of the present trial, by model and version."""
        query = {"model": name} if name else {}
        models: dict[str, Any] = (await self._http.request("GET", "/monitoring/errors", params=query))["models"]
        return models

    async def start_replay(self, name: str, version: str, begin: datetime, **options: Any) -> dict[str, Any]:
        """Have recorded requests run against a version, away from production; see `replay` for what comes of it.

        `options` are to (a datetime), speed (times the recorded rate) and limit. Raises VersionNotFound, Overloaded.
        """
        wish = {"model": name, "version": version, "from": begin, **options}
        started: dict[str, Any] = await self._http.request(
            "POST", "/replays", data=orjson.dumps(wish, option=orjson.OPT_NAIVE_UTC)
        )
        return started

    async def replay(self, replay_id: str) -> dict[str, Any]:
        """Return how far a replay is, and its report when it is done. Raises NotFound."""
        found: dict[str, Any] = await self._http.request("GET", f"/replays/{replay_id}")
        return found

    async def replays(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the newest replays without their reports."""
        query = {"model": name} if name else {}
        found: list[dict[str, Any]] = (await self._http.request("GET", "/replays", params=query))["replays"]
        return found

    async def inference_log(
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
        query: dict[str, Any] = {"model": name, "version": version, "status": status, "request_id": request_id}
        query |= {"page": page, "per_page": per_page}
        given = {key: str(value) for key, value in query.items() if value is not None}
        rows: list[dict[str, Any]] = (await self._http.request("GET", "/inference-log", params=given))["requests"]
        return rows

    async def inference(self, request_id: str, *, model: str | None = None, nonce: str | None = None) -> dict[str, Any]:
        """Return one request with its outcome. Raises NotFound while the log does not have it.

        Raises SeveralRequests where more than one has the id, and neither `model` nor `nonce` says which.
        """
        query = {key: value for key, value in {"model": model, "nonce": nonce}.items() if value is not None}
        row: dict[str, Any] = await self._http.request("GET", f"/inference-log/{request_id}", params=query)
        return row

    async def shadow(self, name: str) -> dict[str, Any]:
        """Return how a shadow's answers differ from production's. Raises NotFound."""
        shadow: dict[str, Any] = await self._http.request("GET", f"/monitoring/shadow/{name}")
        return shadow

    async def watch(self, name: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """Iterate over events as they come, of one model or of all, without end."""
        async for event in self._http.events("/events", params={"model": name} if name else {}):
            yield event

    async def _change(self, path: str, wish: dict[str, Any]) -> dict[str, Any]:
        body = {field: value for field, value in wish.items() if value is not None}
        changed: dict[str, Any] = await self._http.request("POST", path, json=body)
        return changed

    async def deployments(self) -> list[dict[str, Any]]:
        """Return every model's release as it is now."""
        deployments: list[dict[str, Any]] = (await self._http.request("GET", "/deployments"))["deployments"]
        return deployments

    async def history(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return what happened to the releases, newest first."""
        query = {"model": name} if name else {}
        events: list[dict[str, Any]] = (await self._http.request("GET", "/deployments/history", params=query))["events"]
        return events

    async def delete_model(self, name: str) -> dict[str, Any]:
        """Remove a model whole, live or not: release, versions and files, for good. What it did stays in the history.

        Returns its name and its versions with their files' digests. Raises ModelNotFound; Unavailable where a part of it
        has to wait, then ask again.
        """
        deleted: dict[str, Any] = await self._http.request("DELETE", f"/models/{name}", params={"confirm": name})
        return deleted

    async def delete_version(self, name: str, version: str) -> None:
        """Forget a version. Raises VersionInUse while a release sends requests to it."""
        await self._http.request("DELETE", f"/models/{name}/versions/{version}")

    async def dashboard_state(self) -> dict[str, Any]:
        """Return what the dashboard shows now: every model with what the judge knows, and every live replica."""
        document: dict[str, Any] = await self._http.request("GET", "/ui/state")
        return document

    async def health(self) -> dict[str, Any]:
        """Return what works; not being ready is no error here."""
        document: dict[str, Any] = await self._http.request("GET", "/health", accept=(503,))
        return document
