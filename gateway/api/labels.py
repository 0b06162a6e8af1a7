"""The HTTP API for labels: true values that arrive after the predictions."""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from ...access.caller import caller
from ...broker.kafka.outbox import Outbox
from ...broker.views.releases import ReleasesView
from ...schemas.names import check_model_name
from ...schemas.payloads.labels import Label, Truths
from ...schemas.settings.mesh import MeshSettings
from ..route import Route
from .route_tools import answer, read_json
from .upload import parse


class LabelsRequest(BaseModel):
    """True values by request id, each for the newest request with that id: one value, or one for each row of the request."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    labels: dict[str, Truths] = Field(min_length=1, max_length=10_000, json_schema_extra={"example": {"0190f3c5": 1}})


class LabelsTaken(BaseModel):
    """The number of labels written to the log; they are compared with the answers within seconds."""

    accepted: int


class LabelRoutes:
    """`POST /labels/{model}`."""

    def __init__(self, settings: MeshSettings, outbox: Outbox, releases: ReleasesView) -> None:
        self._topic = settings.topics().labels.name
        self._outbox = outbox
        self._releases = releases

    async def send(self, request: web.Request) -> web.Response:
        """Write labels to the log; respond once it has acknowledged them."""
        model = check_model_name(request.match_info["model"])
        self._releases.get(model)
        body: LabelsRequest = parse(LabelsRequest, await read_json(request))
        labels: list[Label] = [
            parse(
                Label,
                {"request_id": request_id, "model": model, "label": label, "caller": caller.get().name},
                values=("label",),
            )
            for request_id, label in body.labels.items()
        ]
        records = [(label.request_id, label.model_dump_json().encode()) for label in labels]
        await self._outbox.write(self._topic, records)
        return answer(LabelsTaken(accepted=len(labels)), 202)

    routes = (
        Route("POST", "/labels/{model}", send, "Send true values by request id", scope="predict", repeat="with_key",
              takes=LabelsRequest, gives=LabelsTaken, status=202, errors=(400, 404, 422, 503)),
    )  # fmt: skip
