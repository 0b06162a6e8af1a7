"""One trace through all roles; one log line a request, with its ids and without secrets."""

import json
import secrets

from ..waiting import until


def traceparent(flags="01"):
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{flags}"


async def ask(http, model, row, parent, **headers):
    async with http.post(
        f"/predict/{model}", json={"inputs": row}, headers={"traceparent": parent, **headers}
    ) as answer:
        return answer.status, answer.headers["X-Request-Id"]


async def test_a_sampled_request_is_one_trace_through_gateway_router_and_worker(http, forest, cancer, collector):
    parent = traceparent()
    trace, caller = parent.split("-")[1:3]
    status, request_id = await ask(http, forest, cancer[0][0].tolist(), parent)
    assert status == 200

    async def complete():
        return {span.name for span in collector.of_trace(trace)} >= {
            "route",
            "predict",
            "batch",
            "POST /predict/{model}",
        }

    await until(complete, "the trace is complete")
    spans = collector.of_trace(trace)
    (served,) = [span for span in spans if span.name == "POST /predict/{model}"]
    # A retried request has spans for each attempt.
    routed, predicted, batches = (
        [span for span in spans if span.name == name] for name in ("route", "predict", "batch")
    )
    assert served.service == "modelmesh-gateway"
    assert {span.service for span in routed} == {"modelmesh-router"}
    assert {span.service for span in [*predicted, *batches]} == {"modelmesh-worker"}
    assert served.parent_id == caller
    assert {span.parent_id for span in routed} == {served.span_id}
    route_ids = {span.span_id for span in routed}
    assert {span.parent_id for span in predicted} <= route_ids
    for batch in batches:
        assert batch.parent_id in route_ids
        assert batch.links == [batch.parent_id]
    assert {span.attributes["modelmesh.request_id"] for span in [served, *routed, *predicted]} == {request_id}
    assert min(span.milliseconds for span in predicted) <= served.milliseconds


async def test_an_error_is_marked_and_what_is_not_sampled_leaves_no_span(http, forest, collector):
    unsampled, failing = traceparent("00"), traceparent()
    assert (await ask(http, forest, [1.0], unsampled))[0] == 422
    assert (await ask(http, forest, [1.0], failing))[0] == 422

    async def there():
        return any(span.name == "predict" for span in collector.of_trace(failing.split("-")[1]))

    await until(there, "the failed request's spans are there")
    assert collector.of_trace(unsampled.split("-")[1]) == []


def lines_of(mesh):
    for path in (mesh.settings.data / "logs").glob("*.log"):
        if path.name.startswith("broker"):
            continue
        for line in path.read_text().splitlines():
            yield path.name, line


async def test_each_request_has_one_line_with_its_ids(mesh, http, forest, cancer):
    parent = traceparent("00")
    _, request_id = await ask(http, forest, cancer[0][0].tolist(), parent)
    async with http.get("/health") as answer:
        await answer.read()
    found = [json.loads(line) for _, line in lines_of(mesh) if request_id in line]
    assert len(found) == 1
    line = found[0]
    assert (line["event"], line["status"], line["path"]) == ("http.request", 200, f"/predict/{forest}")
    assert line["trace_id"] == parent.split("-")[1]
    assert {"level", "timestamp", "role", "replica", "ms", "method"} <= line.keys()


async def test_every_line_is_json(mesh, forest):
    for name, line in lines_of(mesh):
        document = json.loads(line)
        assert {"event", "level", "timestamp", "role", "replica"} <= document.keys(), (name, line)
