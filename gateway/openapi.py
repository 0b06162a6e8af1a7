"""The OpenAPI 3.1 document, made from the same pydantic models that the routes use, and a page that shows it offline."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from .. import __version__
from ..access.middleware import PUBLIC
from ..registry.registration import Registration
from .api.counterfactual import Counterfactual, CounterfactualRequest
from .api.dead_letters import DeadLetterDocument, DeadLetterList, Redriven
from .api.inference_log import Inference, InferencePage, RequestRecords
from .api.keys import KeyList, KeyRequest, NewKey
from .api.labels import LabelsRequest, LabelsTaken
from .api.model_documents import DeletedModel, ModelDocument, ModelPage, Registered, VersionDocument
from .api.release_documents import (
    CanaryDocument,
    CanaryRequest,
    Deployed,
    DeploymentDocument,
    DeploymentRequest,
    ExperimentDocument,
    ExperimentRequest,
    HistoryPage,
    PercentageRequest,
    ShadowRequest,
    StopExperimentRequest,
    Wish,
)
from .api.replays import ReplayDocument, ReplayPage, ReplayRequest
from .idempotency import HEADER as IDEMPOTENCY
from .idempotency import takes_idempotency_key


class PredictBody(BaseModel):
    """One row, a list of rows, or an object of named features."""

    model_config = ConfigDict(json_schema_extra={"example": {"inputs": {"amount": 200, "merchant": "Acme"}}})

    inputs: Any


class Prediction(BaseModel):
    """The answer to one request; each output has one entry a row."""

    model: str
    version: str
    outputs: dict[str, list[Any]]


class BatchPrediction(BaseModel):
    """The answers in the order of the rows; a row that failed has {"error": problem} in its place."""

    predictions: list[Any]
    failed: int


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = Field(default=None, description="the feature, field or header that is wrong")
    retry_after: float | None = None


class VersionList(BaseModel):
    """A model's versions, oldest first."""

    name: str
    versions: list[VersionDocument]


class DeploymentList(BaseModel):
    """Every model's release."""

    deployments: list[DeploymentDocument]


class ExperimentList(BaseModel):
    """The experiments, newest first, without their results."""

    experiments: list[ExperimentDocument]


class Monitored(BaseModel):
    """What the judge knows of a model; see docs/releases.md for the figures."""

    model_config = ConfigDict(extra="allow")

    model: str
    at: float


class Latencies(BaseModel):
    """Latency windows by model and version."""

    models: dict[str, Any]


class Errors(BaseModel):
    """Requests, failures and the failure rate by model and version."""

    models: dict[str, Any]


class Health(BaseModel):
    """What works. `at` is this machine's clock, in seconds since the epoch."""

    at: float
    ready: bool
    checks: dict[str, bool]
    control_plane: bool
    replicas: list[str]


class State(BaseModel):
    """What the dashboard shows at one moment."""

    at: float
    models: list[dict[str, Any]]
    replicas: list[dict[str, Any]]


@dataclass(frozen=True)
class Operation:
    """One line of the API: what it takes and gives, and the statuses of the problems it may answer with."""

    method: str
    path: str
    summary: str
    answers: type[BaseModel] | None
    takes: type[BaseModel] | None = None
    errors: tuple[int, ...] = ()
    status: int = 200
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()


_PREDICT_ERRORS = (400, 404, 413, 422, 500, 503, 504)
_PREDICT_HEADERS = ("X-Request-Id", "X-Routing-Key", "X-Timeout-Ms")
_PAGE = ("page", "per_page")
# What every operation may answer where authentication is on.
_ACCESS_ERRORS = (401, 403, 429)
_CHANGE_ERRORS = (400, 404, 409, 422, 503)
OPERATIONS = (
    Operation("post", "/predict/{model}", "Predict one row, or several as one request", Prediction, PredictBody,
              _PREDICT_ERRORS, headers=_PREDICT_HEADERS),
    Operation("post", "/predict/{model}/batch", "Predict many rows, each for itself", BatchPrediction, PredictBody,
              _PREDICT_ERRORS, headers=_PREDICT_HEADERS),
    Operation("post", "/models", "Register a version (multipart, the file is 'artifact')", Registered, Registration,
              (400, 409, 413, 422, 503), 201),
    Operation("get", "/models", "List the models", ModelPage, None, (422, 503), query=(*_PAGE, "framework")),
    Operation("get", "/models/{name}", "Show a model", ModelDocument, None, (404, 503)),
    Operation("get", "/models/{name}/versions", "List a model's versions", VersionList, None, (404, 503)),
    Operation("get", "/models/{name}/versions/{version}", "Show a version", VersionDocument, None, (404, 503)),
    Operation("delete", "/models/{name}/versions/{version}", "Delete a version that is not in use", None, None,
              (404, 409, 503), 204),
    Operation("delete", "/models/{name}", "Remove a model whole; confirm repeats its name", DeletedModel, None,
              (404, 422, 503), query=("confirm",)),
    Operation("post", "/deployments", "Send all requests to a version", Deployed, DeploymentRequest, _CHANGE_ERRORS, 201),
    Operation("get", "/deployments", "List the releases as they are now", DeploymentList, query=("model", "strategy")),
    Operation("get", "/deployments/history", "List what happened to the releases", HistoryPage, None,
              (422, 503), query=(*_PAGE, "model")),
    Operation("post", "/deployments/canary", "Try a version on a share of the requests, and judge it", Deployed,
              CanaryRequest, _CHANGE_ERRORS, 201),
    Operation("get", "/deployments/canary", "List the canaries that are running", DeploymentList, query=("model",)),
    Operation("get", "/deployments/canary/{id}", "Show a canary with its evidence", CanaryDocument, None, (404, 503)),
    Operation("post", "/deployments/canary/{id}/percentage", "Change a canary's share", Deployed, PercentageRequest,
              _CHANGE_ERRORS),
    Operation("post", "/deployments/canary/{id}/promote", "Send everything to the candidate", Deployed, Wish, _CHANGE_ERRORS),
    Operation("post", "/deployments/canary/{id}/rollback", "Send everything to stable", Deployed, Wish, _CHANGE_ERRORS),
    Operation("post", "/deployments/canary/{id}/counterfactual", "Judge a recorded canary by other rules", Counterfactual,
              CounterfactualRequest, (400, 404, 422, 503)),
    Operation("post", "/deployments/shadow", "Send copies of the requests to a version", Deployed, ShadowRequest,
              _CHANGE_ERRORS, 201),
    Operation("post", "/deployments/shadow/{id}/stop", "Send no more copies", Deployed, Wish, _CHANGE_ERRORS),
    Operation("post", "/experiments", "Compare versions, each with users of its own", Deployed, ExperimentRequest,
              _CHANGE_ERRORS, 201),
    Operation("get", "/experiments", "List the experiments", ExperimentList, None, (503,), query=("model",)),
    Operation("get", "/experiments/{id}", "Show an experiment with its results", ExperimentDocument, None, (404, 503)),
    Operation("post", "/experiments/{id}/stop", "End an experiment; the winner goes live", Deployed, StopExperimentRequest,
              _CHANGE_ERRORS),
    Operation("get", "/monitoring/drift/{name}", "Show how live inputs differ from the reference", Monitored, None, (404,)),
    Operation("get", "/monitoring/latency", "Show p50, p95 and p99 over 1 min, 5 min and 1 h", Latencies, query=("model",)),
    Operation("get", "/monitoring/shadow/{name}", "Show how a shadow's answers differ", Monitored, None, (404,)),
    Operation("get", "/monitoring/errors", "Show how many requests of the present trial failed, by version", Errors,
              query=("model",)),
    Operation("get", "/monitoring/accuracy/{name}", "Show how right each version was, where labels say so", Monitored, None,
              (404,)),
    Operation("post", "/labels/{model}", "Say what was right, by request id", LabelsTaken, LabelsRequest,
              (400, 404, 422, 503), 202),
    Operation("post", "/replays", "Run recorded requests against a version, away from production", ReplayDocument, ReplayRequest,
              (400, 404, 422, 503), 202),
    Operation("get", "/replays", "List the replays, newest first, without their reports", ReplayPage, None, (422, 503),
              query=(*_PAGE, "model")),
    Operation("get", "/replays/{replay}", "Show how far a replay is, and its report", ReplayDocument, None, (404, 503)),
    Operation("get", "/replays/{replay}/page", "A replay's report as a page", None, None, (404, 503)),
    Operation("get", "/inference-log", "List requests and their outcomes, newest first", InferencePage, None, (422, 503),
              query=(*_PAGE, "request_id", "model", "version", "status")),
    Operation("get", "/inference-log/{request_id}", "Show a request and its outcome", Inference, None, (404, 409, 503),
              query=("model", "nonce")),
    Operation("get", "/inference-log/{request_id}/records", "Show a request's records on the topics", RequestRecords, None,
              (404, 409, 503), query=("model", "nonce")),
    Operation("get", "/dead-letters", "List the newest records that were put aside", DeadLetterList, None, (503,)),
    Operation("get", "/dead-letters/{number}", "Show one", DeadLetterDocument, None, (404, 422, 503)),
    Operation("post", "/dead-letters/{number}/redrive", "Send one on its way again", Redriven, None, (404, 422, 503, 504)),
    Operation("get", "/models/{name}/versions/{version}/artifact", "Download the file as it was registered", None, None,
              (404, 503)),
    Operation("get", "/keys", "List the API keys, without their secrets", KeyList),
    Operation("post", "/keys", "Make an API key; its secret is in this answer alone", NewKey, KeyRequest, (400, 422, 503), 201),
    Operation("delete", "/keys/{key_id}", "Revoke an API key", None, None, (404, 503), 204),
    Operation("get", "/events", "Events as they come (server-sent events)", None, query=("model",)),
    Operation("get", "/health", "What works; 503 until a prediction can be served", Health, None, (503,)),
    Operation("get", "/health/ready", "The same", Health, None, (503,)),
    Operation("get", "/health/live", "Whether the process is alive", None),
    Operation("get", "/ui/state", "What the dashboard shows: models with what the judge knows, and replicas", State),
    Operation("get", "/asyncapi.json", "The topics, as an AsyncAPI 3 document", None),
    Operation("get", "/metrics", "Metrics in Prometheus' form", None),
)  # fmt: skip


def openapi_document() -> dict[str, Any]:
    """Return the document."""
    kinds = {kind for operation in OPERATIONS for kind in (operation.answers, operation.takes) if kind} | {Problem}
    names, schemas = models_json_schema(
        [(kind, "validation") for kind in sorted(kinds, key=lambda kind: kind.__name__)],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, names)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ModelMesh",
            "version": __version__,
            "description": "Machine-learning models served over a Kafka log.",
        },
        "servers": [{"url": "/v1"}, {"url": "/", "description": "the same by short paths"}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "an API key (mm_...) or a token"}
            },
        },
    }


def _operation(operation: Operation, names: Any) -> dict[str, Any]:
    def content(kind: type[BaseModel], media: str = "application/json") -> dict[str, Any]:
        return {media: {"schema": names[(kind, "validation")]}}

    responses: dict[str, Any] = {str(operation.status): {"description": operation.summary}}
    if operation.answers:
        responses[str(operation.status)]["content"] = content(operation.answers)
    public = operation.path in PUBLIC
    for status in (*operation.errors, *(() if public else _ACCESS_ERRORS)):
        responses[str(status)] = {"description": "a problem", "content": content(Problem, "application/problem+json")}
    parts = operation.path.split("/")
    path_names = [part[1:-1] for part in parts if part.startswith("{")]
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in path_names]
    parameters += [{"name": name, "in": "query", "schema": {"type": "string"}} for name in operation.query]
    headers = (*operation.headers, *((IDEMPOTENCY,) if takes_idempotency_key(operation.method, operation.path) else ()))
    parameters += [{"name": name, "in": "header", "schema": {"type": "string"}} for name in headers]
    document: dict[str, Any] = {"summary": operation.summary, "parameters": parameters, "responses": responses}
    if not public:
        # {} as well: authentication may be off.
        document["security"] = [{"key": []}, {}]
    if operation.takes is Registration:
        schema = _registration_form()
        document["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    elif operation.takes:
        document["requestBody"] = {"required": True, "content": content(operation.takes)}
    return document


def _registration_form() -> dict[str, Any]:
    """Return the fields of a registration with the file among them: it takes no others, so they can't be two schemas."""
    form = Registration.model_json_schema(ref_template="#/components/schemas/{model}")
    form.pop("$defs", None)
    form["properties"]["artifact"] = {"type": "string", "contentMediaType": "application/octet-stream"}
    form["required"] = [*form.get("required", ()), "artifact"]
    return form


_PAGE_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>ModelMesh API</title><style>
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
summary{cursor:pointer;padding:.4rem 0}code,pre{font-family:ui-monospace,monospace;font-size:.9em}
pre{overflow:auto;padding:.8rem;background:color-mix(in srgb,currentColor 8%,transparent);border-radius:.4rem}
.m{display:inline-block;width:4.5rem;font-weight:600;text-transform:uppercase}</style>
<h1>ModelMesh API</h1><p>The whole document is at <a href="/openapi.json">/openapi.json</a>.</p>"""


def docs_page(document: dict[str, Any]) -> str:
    """Return a page that lists the operations and their schemas; it needs no script and no internet."""
    lines = [_PAGE_HEAD]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            shown = orjson.dumps(operation, option=orjson.OPT_INDENT_2).decode()
            lines.append(
                f'<details><summary><span class="m">{method}</span><code>{escape(path)}</code> '
                f"{escape(operation['summary'])}</summary><pre>{escape(shown)}</pre></details>"
            )
    lines.append("<h2>Schemas</h2>")
    for name, schema in document["components"]["schemas"].items():
        shown = orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode()
        lines.append(
            f'<details id="{escape(name)}"><summary>{escape(name)}</summary><pre>{escape(shown)}</pre></details>'
        )
    return "\n".join(lines) + "</html>"
