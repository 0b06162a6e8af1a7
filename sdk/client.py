"""`AsyncModelMeshClient`: register, release and predict over HTTP."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Unpack
from uuid import uuid4

from ..producers.client import PredictionClient
from ..schemas.errors import InvalidInput, ModelMeshError, from_problem
from .gateway_session import AllRowsFailed, GatewaySession
from .model_calls import ModelCalls
from .monitoring_calls import MonitoringCalls
from .options import PredictOptions
from .override_calls import OverrideCalls
from .prediction import Prediction
from .record_calls import RecordCalls
from .release_calls import ReleaseCalls
from .rows import body_of, inputs_of, rows_of

DEFAULT_URL = "http://127.0.0.1:8000"


def gateway_url(url: str | None, base_url: str | None) -> str:
    """Return the gateway's URL from either parameter. Raises InvalidInput if they differ."""
    if url is not None and base_url is not None and url != base_url:
        raise InvalidInput("url and base_url are the same parameter: give one of them", field="base_url")
    return url or base_url or DEFAULT_URL


class AsyncModelMeshClient(ModelCalls, ReleaseCalls, OverrideCalls, MonitoringCalls, RecordCalls):
    """A client of a gateway. Use it as an async context manager; errors are those of `modelmesh.schemas.errors`.

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
        """`base_url` is another name of `url`. `api_key` defaults to MODELMESH_API_KEY, and `ca` (a PEM file with the CA of
        the gateway's certificate, if it is not a public one) to MODELMESH_CA.

        With `kafka` ("host:9092") predictions go directly over Kafka, without the gateway; everything else uses the gateway.
        """
        url = gateway_url(url, base_url)
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

        `request_id` identifies the prediction in logs and labels; it need not be unique. By default it is generated and
        returned in the prediction. `timeout` is in seconds.
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
        **options: Unpack[PredictOptions],
    ) -> AsyncGenerator[Prediction | ModelMeshError, None]:
        """Iterate over the predictions for many rows, in their order, with at most `in_flight` requests at a time.

        A failed row yields its error instead of a prediction. `on_progress` is called with the number of answered rows.
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
