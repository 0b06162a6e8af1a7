"""How each route is asked with one tenant's key, and what the other's own key finds there."""

from dataclasses import dataclass, field

A, B = "alpha", "bravo"
VALUE = 31337.25  # in all of B's bodies
B_ADDRESS = "127.0.0.2"
# What is B's alone; its keys, actors, ids and metadata have its model's name in them.
NEEDLES = (b"bravo", b"31337", B_ADDRESS.encode(), b"7.7.", b"62674.5")


@dataclass(frozen=True)
class Case:
    """How a route is asked. `body`: with {model} for a name. `shows`: what B's own key finds there, so that it could leak."""

    body: str | None = None
    query: str = ""
    form: bool = False
    shows: bytes = b""
    public: bool = False
    stream: bool = False
    refused: tuple[int, ...] = ()
    status: int = 200
    why: str = field(default="", compare=False)


def named(body=None, form=False, query=""):
    """A route that names something of B's, in the path or in the body."""
    return Case(body=body, form=form, query=query, refused=(403, 404))


def listed(shows=b"bravo", **options):
    """A route that shows what there is."""
    return Case(shows=shows, **options)


PUBLIC = Case(public=True)
MODEL = '{"model": "{model}", "version": "7.7.7"}'
ROUTES = {
    ("GET", "/"): PUBLIC,
    ("GET", "/docs"): PUBLIC,
    ("GET", "/openapi.json"): PUBLIC,
    ("GET", "/asyncapi.json"): PUBLIC,
    ("GET", "/ui"): PUBLIC,
    ("GET", "/ui/files/{file}"): PUBLIC,
    ("GET", "/health"): PUBLIC,
    ("GET", "/health/live"): PUBLIC,
    ("GET", "/health/ready"): PUBLIC,
    ("GET", "/v2"): PUBLIC,
    ("GET", "/v2/health/live"): PUBLIC,
    ("GET", "/v2/health/ready"): PUBLIC,
    ("GET", "/models"): listed(),
    ("GET", "/deployments"): listed(),
    ("GET", "/deployments/canary"): listed(),
    ("GET", "/deployments/history"): listed(B_ADDRESS.encode()),
    ("GET", "/experiments"): listed(),
    ("GET", "/monitoring/latency"): listed(),
    ("GET", "/monitoring/errors"): listed(),
    ("GET", "/inference-log"): listed(b"31337"),
    ("GET", "/inference-log/{request_id}"): named(),
    ("GET", "/inference-log/{request_id}/records"): named(),
    ("GET", "/dead-letters"): listed(b"31337"),
    ("GET", "/dead-letters/{number}"): named(),
    ("POST", "/dead-letters/{number}/redrive"): named(),
    ("GET", "/replays"): listed(),
    ("POST", "/replays"): named('{"model": "{model}", "version": "7.7.7", "from": "2020-01-01T00:00:00"}'),
    ("GET", "/replays/{replay}"): named(),
    ("GET", "/replays/{replay}/page"): named(),
    ("GET", "/keys"): listed(b"bravo-robot"),
    ("POST", "/keys"): named('{"name": "more", "scopes": ["predict"], "models": ["{model}"]}'),
    ("DELETE", "/keys/{key_id}"): named(),
    ("GET", "/metrics"): listed(),
    ("GET", "/ui/state"): listed(),
    ("GET", "/ui/stream"): Case(stream=True),
    ("GET", "/events"): Case(stream=True),
    ("POST", "/v2/repository/index"): listed(body="{}"),
    ("POST", "/v2/repository/models/{model}/load"): named("{}"),
    ("POST", "/v2/repository/models/{model}/unload"): named("{}"),
    ("POST", "/models"): named(form=True),
    ("POST", "/deployments"): named(MODEL),
    ("POST", "/deployments/canary"): named('{"model": "{model}", "candidate_version": "7.7.8"}'),
    ("POST", "/deployments/canary/{id}/pause"): named('{"reason": "r"}'),
    ("POST", "/deployments/canary/{id}/exclude"): named('{"reason": "r", "comparison": "p99"}'),
    ("POST", "/deployments/canary/{id}/include"): named('{"comparison": "p99"}'),
    ("POST", "/deployments/canary/{id}/hold"): named('{"reason": "r", "seconds": 60}'),
    ("POST", "/deployments/shadow"): named(
        '{"model": "{model}", "shadow_version": "7.7.8", "production_version": "9.9.9"}'
    ),
    ("POST", "/experiments"): named(
        '{"model": "{model}", "name": "e", "variants": [{"name": "x", "version": "7.7.7", "weight": 0.5}, '
        '{"name": "y", "version": "7.7.8", "weight": 0.5}]}'
    ),
    **{
        ("POST", path): named("{}")
        for path in (
            "/deployments/canary/{id}/percentage",
            "/deployments/canary/{id}/promote",
            "/deployments/canary/{id}/rollback",
            "/deployments/canary/{id}/resume",
            "/deployments/canary/{id}/counterfactual",
            "/deployments/shadow/{id}/stop",
            "/experiments/{id}/stop",
            "/labels/{model}",
            "/predict/{model}",
            "/predict/{model}/batch",
            "/v2/models/{model}/infer",
            "/v2/models/{model}/versions/{version}/infer",
        )
    },
    **{
        ("GET", path): named()
        for path in (
            "/models/{name}",
            "/models/{name}/versions",
            "/models/{name}/versions/{version}",
            "/models/{name}/versions/{version}/artifact",
            "/deployments/canary/{id}",
            "/experiments/{id}",
            "/monitoring/drift/{name}",
            "/monitoring/shadow/{name}",
            "/monitoring/accuracy/{name}",
            "/v2/models/{model}",
            "/v2/models/{model}/ready",
            "/v2/models/{model}/versions/{version}",
            "/v2/models/{model}/versions/{version}/ready",
        )
    },
    ("DELETE", "/models/{name}"): named(query="?confirm=bravo"),
    ("DELETE", "/models/{name}/versions/{version}"): named(),
}
