"""A real Prometheus scrapes the mesh: the rules hold, every metric is there, and no panel of a dashboard is empty."""

import asyncio
import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from modelmesh.broker.embedded.server import free_port

from benchmarks.models.chaos_models import SAMPLE, chaos_model

from ..scrape import samples
from ..traffic import strategy_is
from ..waiting import until

DEPLOY = Path(__file__).parents[3] / "deploy"
NEEDED = "prometheus is not installed here: `apt-get install prometheus`, or put prometheus and promtool on PATH"
needs_prometheus = pytest.mark.skipif(shutil.which("promtool") is None, reason=NEEDED)


def build_module():
    spec = importlib.util.spec_from_file_location("build_dashboards", DEPLOY / "grafana" / "build.py")
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@needs_prometheus
def test_the_rules_are_valid_and_do_what_their_tests_say():
    folder = DEPLOY / "prometheus"
    rules = sorted(map(str, (folder / "rules").glob("*.yml")))
    for command in (["check", "rules", *rules], ["test", "rules", "rules_test.yml"]):
        done = subprocess.run(["promtool", *command], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_each_alert_is_tested_and_has_its_section_in_the_operations_page():
    import yaml

    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules" / "alerts.yml").read_text())
    tests = (DEPLOY / "prometheus" / "rules_test.yml").read_text()
    page = (DEPLOY.parent / "docs" / "operations.md").read_text()
    for rule in rules["groups"][0]["rules"]:
        assert f"alertname: {rule['alert']}\n" in tests, f"{rule['alert']} has no test"
        assert f"### {rule['alert']}\n" in page, f"{rule['alert']} has no section in docs/operations.md"


def test_the_dashboards_are_those_that_the_code_makes():
    module = build_module()
    for dashboard in module.DASHBOARDS:
        written = (DEPLOY / "grafana" / "dashboards" / f"{dashboard.name}.json").read_text()
        assert written == module.text(dashboard), "run `python deploy/grafana/build.py`"


@pytest.fixture(scope="module")
async def traffic_of_all_kinds(mesh, sdk, http, tmp_path_factory):
    """Predictions, errors, a cache, a canary that is rolled back and one that runs, drift: what the panels show."""
    folder = tmp_path_factory.mktemp("watched")
    name = "watched"
    reference = np.column_stack([np.zeros(2000), np.random.default_rng(0).normal(size=2000)]).tolist()
    for number, (fails, ttl) in enumerate(((False, 0.0), (True, 0.0), (False, 60.0)), 1):
        path = chaos_model(folder / f"{number}.onnx", fails=fails)
        await sdk.register_model(
            name, path, sample=SAMPLE, version=f"{number}.0.0", data=reference, cache_ttl_seconds=ttl
        )

    async def ask(flag=0.0):
        async with http.post(f"/predict/{name}", json={"inputs": [flag, 5.0]}) as answer:
            await answer.read()

    for _ in range(12):
        await asyncio.gather(*(ask() for _ in range(100)))
    await sdk.create_canary(name, "2.0.0", 50, auto_rollback_threshold=0.05)

    async def rolled_back():
        await asyncio.gather(*(ask(1.0) for _ in range(20)))
        return (await sdk.deployments())[0] is not None and await total_of(mesh, "rollbacks_total") > 0

    await until(rolled_back, "the canary is rolled back")
    await strategy_is(sdk, name, "full")
    await sdk.create_canary(name, "3.0.0", 50)
    stop = asyncio.Event()

    async def go_on():
        while not stop.is_set():
            await asyncio.gather(*(ask(float(number == 0)) for number in range(10)))
            await asyncio.sleep(0.1)

    going = asyncio.create_task(go_on())
    yield name
    stop.set()
    await going
    await sdk.rollback_canary(name)


async def total_of(mesh, name):
    return sum(s.value for s in await samples(mesh, "control") if s.name == name and s.labels.get("model") == "watched")


@pytest.fixture(scope="module")
async def prometheus(mesh, tmp_path_factory, traffic_of_all_kinds):
    """Ask a Prometheus that scrapes each role of the mesh, with the rules as they are deployed."""
    folder = tmp_path_factory.mktemp("prometheus")
    roles: dict[str, list[str]] = {}
    for member in mesh.supervisor.members:
        if member.role != "broker":
            roles.setdefault(member.role, []).append(f"127.0.0.1:{member.admin_port}")
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(DEPLOY / "prometheus" / "rules" / "*.yml")],
        "scrape_configs": [
            {"job_name": f"modelmesh-{role}", "static_configs": [{"targets": targets}]}
            for role, targets in roles.items()
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=(folder / "log").open("wb"),
        env=os.environ | {"GOGC": "50"},
    )
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

        async def query(expression):
            async with session.get("/api/v1/query", params={"query": expression}) as answer:
                document = await answer.json()
                assert document["status"] == "success", document
                return document["data"]["result"]

        async def all_up():
            try:
                up = await query("up")
            except aiohttp.ClientError:
                return False
            return len(up) == sum(map(len, roles.values())) and all(found["value"][1] == "1" for found in up)

        await until(all_up, "every role is scraped")
        yield query
    process.terminate()
    await process.wait()


@needs_prometheus
async def test_no_panel_is_empty(prometheus):
    module = build_module()
    empty = {
        expression
        for dashboard in module.DASHBOARDS
        for panel in dashboard.panels
        for expression in panel.queries.values()
    }

    async def all_filled():
        for expression in list(empty):
            found = await prometheus(expression)
            if any(sample["value"][1] != "NaN" for sample in found):
                empty.discard(expression)
        return not empty

    try:
        await until(all_filled, "every panel shows something")
    except pytest.fail.Exception:
        pytest.fail(f"these panels stay empty: {sorted(empty)}")


@needs_prometheus
@pytest.mark.parametrize(
    "name",
    [
        "http_requests_total",
        "http_request_duration_seconds_bucket",
        "predictions_total",
        "prediction_latency_seconds_bucket",
        "active_deployments",
        "canary_error_rate",
        "cache_events_total",
        "consumer_lag",
        "batch_size_bucket",
        "queue_wait_seconds_bucket",
        "inference_seconds_bucket",
        "breaker_state",
        "retries_total",
        "dead_letters_total",
        "drift_psi",
        "rollbacks_total",
    ],
)
async def test_each_metric_is_scraped(prometheus, name):
    async def there():
        return bool(await prometheus(name))

    await until(there, f"{name} is scraped")


async def test_what_callers_make_up_does_not_become_a_label(mesh, http):
    made_up = [f"made-up-{number}" for number in range(20)]
    for name in made_up:
        async with http.post(f"/predict/{name}", json={"inputs": [1]}) as answer:
            assert answer.status == 404
        async with http.request("PROPFIND", f"/{name}") as answer:
            assert answer.status in (404, 405)
    for role in ("gateway", "router", "worker", "control", "recorder"):
        for sample in await samples(mesh, role):
            assert not any("made-up" in value or value == "PROPFIND" for value in sample.labels.values()), sample
