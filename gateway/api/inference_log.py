"""The HTTP API of the inference log."""

from __future__ import annotations

import time

from aiohttp import web

from ...access.caller import caller
from ...recorder.inference_log import InferenceLog
from ...registry.storage.database import InferenceRow
from ...schemas.documents.inference_log import Inference, InferencePage, RequestRecords
from ...schemas.errors import InvalidInput, NotFound, SeveralRequests
from ...schemas.settings.mesh import MeshSettings
from ..route import Route
from .request_records import body_document, records_of
from .route_tools import PAGING, answer, paging


class InferenceRoutes:
    """`GET /inference-log`, `GET /inference-log/{request_id}` and its records on the topics."""

    def __init__(self, settings: MeshSettings, rows: InferenceLog) -> None:
        self._settings = settings
        self._rows = rows

    async def list_requests(self, request: web.Request) -> web.Response:
        """Return requests by id, model, version and status; `status=none` are those without an outcome."""
        page, per_page = paging(request)
        status = request.query.get("status")
        if status not in (None, "none") and not (status.isascii() and status.isdigit() and len(status) == 3):
            raise InvalidInput("status must be a number such as 200, or 'none'", field="status")
        rows, total = await self._rows.page(
            request_id=request.query.get("request_id"),
            models=caller.get().models_to_list(request.query.get("model")),
            version=request.query.get("version"),
            status=int(status) if status not in (None, "none") else None,
            missing=status == "none",
            page=page,
            per_page=per_page,
        )
        return answer(InferencePage(requests=list(map(_document, rows)), page=page, per_page=per_page, total=total))

    async def show_request(self, request: web.Request) -> web.Response:
        """Return one request; if several have the id, the one that `model` or `nonce` selects."""
        return answer(_document(await self._row(request)))

    async def show_records(self, request: web.Request) -> web.Response:
        """Return the records of one request, which is selected as in `show_request`."""
        row = await self._row(request)
        ended = row.answered_at.timestamp() if row.answered_at is not None else time.time()
        records = await records_of(self._settings, row, row.at.timestamp(), ended)
        return answer(RequestRecords(request_id=row.request_id, nonce=row.nonce, records=records))

    routes = (
        Route("GET", "/inference-log", list_requests, "List requests and their outcomes, newest first", scope="admin",
              gives=InferencePage, errors=(422,), query=(*PAGING, "request_id", "model", "version", "status"), database=True),
        Route("GET", "/inference-log/{request_id}", show_request, "Show a request and its outcome", scope="admin",
              gives=Inference, errors=(404, 409), query=("model", "nonce"), database=True),
        Route("GET", "/inference-log/{request_id}/records", show_records, "Show a request's records on the topics",
              scope="admin", gives=RequestRecords, errors=(404, 409), query=("model", "nonce"), database=True),
    )  # fmt: skip

    async def _row(self, request: web.Request) -> InferenceRow:
        request_id, query = request.match_info["request_id"], request.query
        if "\0" in request_id + query.get("model", "") + query.get("nonce", ""):
            raise NotFound("no request has an id with a NUL", field="request_id")
        rows = await self._rows.find(
            request_id, models=caller.get().models_to_list(query.get("model")), nonce=query.get("nonce")
        )
        if not rows:
            raise NotFound("the inference log has no such request (yet)", field="request_id")
        if len(rows) > 1:
            models = sorted({row.model for row in rows})
            raise SeveralRequests(
                f"{len(rows)}{' or more' if len(rows) == 100 else ''} requests have this id, for {', '.join(models)}: "
                f"select one by {'?model= or ' if len(models) > 1 else ''}?nonce=; "
                f"GET /inference-log?request_id={request_id} lists them",
                field="request_id",
            )
        return rows[0]


def _document(row: InferenceRow) -> Inference:
    waited = (row.answered_at - row.at).total_seconds() * 1000 if row.answered_at is not None else None
    return Inference(
        request_id=row.request_id,
        nonce=row.nonce,
        caller=row.caller,
        model=row.model,
        at=row.at,
        attempts=row.attempts,
        status=row.status,
        version=row.version,
        variant=row.variant,
        worker=row.worker,
        latency_ms=waited,
        request=body_document(row.request),
        reply=body_document(row.reply),
    )
