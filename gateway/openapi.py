"""Build the OpenAPI 3.1 document from the route declarations, and an HTML page of it that works offline."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

import orjson
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from .. import __version__
from ..registry.registration import Registration
from .idempotency import HEADER as IDEMPOTENCY
from .route import Route

# Every operation that needs a key may return these.
_ACCESS_ERRORS = (401, 403, 429)


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = Field(default=None, description="the invalid feature, field or header")
    retry_after: float | None = None


class InferenceProblem(BaseModel):
    """An error of the Open Inference Protocol."""

    error: str


def openapi_document(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the document of all routes except pages."""
    shown = [route for route in routes if not route.page]
    kinds: set[type[BaseModel]] = {Problem, InferenceProblem}
    kinds |= {kind for route in shown for kind in (route.gives, route.takes) if kind}
    names, schemas = models_json_schema(
        [(kind, "validation") for kind in sorted(kinds, key=lambda kind: kind.__name__)],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in shown:
        # A path that is not under /v1, the default server.
        item = paths.setdefault(route.path, {} if route.versioned else {"servers": [{"url": "/"}]})
        item[route.method.lower()] = _operation(route, names)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ModelMesh",
            "version": __version__,
            "description": "Machine-learning models served over a Kafka log.",
        },
        "servers": [{"url": "/v1"}, {"url": "/", "description": "the same paths without /v1"}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "an API key (mm_...) or a token"}
            },
        },
    }


def _operation(route: Route, names: Any) -> dict[str, Any]:
    def content(kind: type[BaseModel], media: str = "application/json") -> dict[str, Any]:
        return {media: {"schema": names[(kind, "validation")]}}

    problem = content(InferenceProblem) if route.inference_protocol else content(Problem, "application/problem+json")
    public = route.scope == "public"
    responses: dict[str, Any] = {str(route.status): {"description": route.summary}}
    if route.gives:
        responses[str(route.status)]["content"] = content(route.gives)
    for status in (*route.errors, *((503,) if route.database else ()), *(() if public else _ACCESS_ERRORS)):
        responses[str(status)] = {"description": "a problem", "content": problem}
    path_names = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in path_names]
    parameters += [{"name": name, "in": "query", "schema": {"type": "string"}} for name in route.query]
    headers = (*route.headers, *((IDEMPOTENCY,) if route.repeat == "with_key" else ()))
    parameters += [{"name": name, "in": "header", "schema": {"type": "string"}} for name in headers]
    document: dict[str, Any] = {"summary": route.summary, "parameters": parameters, "responses": responses}
    if not public:
        # {} too, since authentication may be off.
        document["security"] = [{"key": []}, {}]
    if route.takes is Registration:
        schema = _registration_form()
        document["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    elif route.takes:
        document["requestBody"] = {"required": True, "content": content(route.takes)}
    return document


def _registration_form() -> dict[str, Any]:
    """Return the schema of a registration with its file. One schema, since Registration allows no additional fields."""
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
    """Return an HTML page that lists the operations and schemas; it has no scripts and loads nothing."""
    lines = [_PAGE_HEAD]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method == "servers":
                continue
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
