"""The client's calls to `/inference-log` and `/replays`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Unpack

import orjson

from ..schemas.documents.inference_log import Inference
from ..schemas.documents.replays import ReplayDocument
from .gateway_session import GatewaySession, model_query
from .options import ReplayOptions


class RecordCalls:
    """Look up recorded requests, and replay them against another version."""

    _http: GatewaySession

    async def inference_log(
        self,
        name: str | None = None,
        *,
        version: str | None = None,
        status: int | str | None = None,
        page: int = 1,
        per_page: int = 50,
        request_id: str | None = None,
    ) -> list[Inference]:
        """Return requests with their outcomes, newest first; `status` "none": those without an outcome."""
        query: dict[str, Any] = {"model": name, "version": version, "status": status, "request_id": request_id}
        query |= {"page": page, "per_page": per_page}
        given = {key: str(value) for key, value in query.items() if value is not None}
        found = await self._http.request("GET", "/inference-log", params=given)
        return [Inference.received(each) for each in found["requests"]]

    async def inference(self, request_id: str, *, model: str | None = None, nonce: str | None = None) -> Inference:
        """Return one request with its outcome. Raises NotFound while the log does not have it.

        Raises SeveralRequests if several requests have the id; then select one by `model` or `nonce`.
        """
        query = {key: value for key, value in {"model": model, "nonce": nonce}.items() if value is not None}
        return Inference.received(await self._http.request("GET", f"/inference-log/{request_id}", params=query))

    async def start_replay(
        self, name: str, version: str, begin: datetime, **options: Unpack[ReplayOptions]
    ) -> ReplayDocument:
        """Start a replay of recorded requests against a version, outside production; `replay` returns its progress.

        `options` are to (a datetime), speed (a factor of the recorded rate) and limit. Raises VersionNotFound, Overloaded.
        """
        body = {"model": name, "version": version, "from": begin, **options}
        return ReplayDocument.received(
            await self._http.request("POST", "/replays", data=orjson.dumps(body, option=orjson.OPT_NAIVE_UTC))
        )

    async def replay(self, replay_id: str) -> ReplayDocument:
        """Return a replay's progress, and its report when it is done. Raises NotFound."""
        return ReplayDocument.received(await self._http.request("GET", f"/replays/{replay_id}"))

    async def replays(self, name: str | None = None) -> list[ReplayDocument]:
        """Return the newest replays, without their reports."""
        found = await self._http.request("GET", "/replays", params=model_query(name))
        return [ReplayDocument.received(each) for each in found["replays"]]
