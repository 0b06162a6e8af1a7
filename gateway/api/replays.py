"""The HTTP API for replays: recorded requests run against another version, outside production."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...access.caller import caller
from ...registry.registry import Registry
from ...registry.storage.database import ReplayRow
from ...schemas.documents.replays import ReplayDocument, ReplayPage
from ...schemas.errors import NotFound
from ...schemas.names import check_model_name
from ..replays.queue import ReplayQueue
from ..replays.store import ReplayStore, state_of
from ..route import Route
from .route_tools import PAGING, answer, paging, read_json
from .upload import parse


class ReplayRequest(BaseModel):
    """Which requests to replay against which registered version. Times without a zone are UTC."""

    model_config = ConfigDict(extra="forbid")

    model: str
    version: str
    begin: datetime = Field(alias="from", description="start of the time range")
    end: datetime | None = Field(default=None, alias="to", description="end of the time range; default: now")
    speed: float | None = Field(
        default=None, gt=0, description="factor of the recorded rate; null: as fast as possible"
    )
    limit: int | None = Field(default=None, ge=1, description="maximum number of requests")

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> ReplayRequest:
        if self.end is not None and _utc(self.end) <= _utc(self.begin):
            raise ValueError("to: the time range ends before it begins")
        return self

    def options(self) -> dict[str, Any]:
        """Return the options of `modelmesh replay`."""
        return {
            "model": self.model,
            "version": self.version,
            "from": _utc(self.begin).isoformat(),
            "to": _utc(self.end or datetime.now(UTC)).isoformat(),
            "speed": None if self.speed is None else f"{self.speed:g}x",
            "limit": self.limit,
        }


class ReplayRoutes:
    """`POST /replays`, `GET /replays`, `GET /replays/{replay}` and its page."""

    def __init__(
        self, registry: Registry, store: ReplayStore, queue: ReplayQueue, page: Callable[[dict[str, Any]], str]
    ) -> None:
        self._registry = registry
        self._store = store
        self._queue = queue
        self._page = page

    async def start(self, request: web.Request) -> web.Response:
        """Add a replay to the queue."""
        body: ReplayRequest = parse(ReplayRequest, await read_json(request))
        caller.get().check_model(check_model_name(body.model))
        await self._registry.version(body.model, body.version)
        row = await self._queue.add(body.model, body.options(), caller.get().name)
        return answer(_document(row), 202)

    async def list_replays(self, request: web.Request) -> web.Response:
        """Return replays without their reports."""
        page, per_page = paging(request)
        rows, total = await self._store.page(
            caller.get().models_to_list(request.query.get("model")), page=page, per_page=per_page
        )
        found = [_document(row).model_copy(update={"report": None}) for row in rows]
        return answer(ReplayPage(replays=found, page=page, per_page=per_page, total=total))

    async def show(self, request: web.Request) -> web.Response:
        """Return a replay."""
        return answer(_document(await self._row(request)))

    async def page(self, request: web.Request) -> web.Response:
        """Return a replay's report as an HTML page."""
        row = await self._row(request)
        if row.report is None:
            raise NotFound(f"the replay has no report: it is {state_of(row)}", field="replay")
        return web.Response(text=self._page(row.report), content_type="text/html")

    routes = (
        Route("POST", "/replays", start, "Run recorded requests against a version, outside production", scope="deploy",
              repeat="with_key", takes=ReplayRequest, gives=ReplayDocument, status=202, errors=(400, 404, 422), database=True),
        Route("GET", "/replays", list_replays, "List the replays, newest first, without their reports", scope="deploy",
              gives=ReplayPage, errors=(422,), query=(*PAGING, "model"), database=True),
        Route("GET", "/replays/{replay}", show, "Show a replay's progress and report", scope="deploy",
              gives=ReplayDocument, errors=(404,), database=True),
        Route("GET", "/replays/{replay}/page", page, "Show a replay's report as an HTML page", scope="deploy", errors=(404,),
              database=True),
    )  # fmt: skip

    async def _row(self, request: web.Request) -> ReplayRow:
        name = request.match_info["replay"]
        # Checked before the lookup, so that a caller cannot find out which replays of other models exist.
        caller.get().check_model(name.partition(".")[0])
        row = await self._store.get(name[:96])
        if row is None:
            raise NotFound(f"there is no replay {name[:80]!r}", field="replay")
        caller.get().check_model(row.model)
        return row


def _utc(timestamp: datetime) -> datetime:
    return timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)


def _document(row: ReplayRow) -> ReplayDocument:
    return ReplayDocument(
        id=row.id,
        model=row.model,
        state=state_of(row),
        asked=row.asked,
        actor=row.actor,
        progress=row.progress or {},
        error=row.error or "",
        created_at=row.created_at,
        report=row.report,
    )
