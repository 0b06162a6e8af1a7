"""The compose file, brought up for real: predict through it, roll a canary back, stop a container, tear it down.

Images that cannot be pulled are built on the spot from Debian (tests/stack).
"""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import aiohttp
import pytest
from modelmesh.broker.embedded.jars import kafka_jars
from modelmesh.broker.embedded.progress import no_progress
from modelmesh.broker.embedded.server import free_port
from modelmesh.sdk import AsyncModelMeshClient

from benchmarks.models.chaos_models import SAMPLE, chaos_model

from ..integration.waiting import until

ROOT = Path(__file__).parents[2]
BASE, PARTS = "modelmesh-debian:local", "modelmesh-parts:local"
CA = "/usr/local/share/modelmesh/ca.crt"  # apt overwrites the usual place


def works(*command):
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


COMPOSE = ["docker", "compose"] if works("docker", "compose", "version") else ["docker-compose"]
pytestmark = [
    pytest.mark.skipif(
        not works("docker", "info") or not works(*COMPOSE, "version"),
        reason="no Docker engine with compose here: `apt-get install docker.io docker-compose`, and start dockerd",
    ),
    pytest.mark.timeout(1200),
]


def run(*command, **options):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def build(image, folder, dockerfile, base):
    run("docker", "build", "-q", "-t", image, "--build-arg", f"BASE={base}", "-f", str(dockerfile), str(folder))


def make_base(folder):
    """A Debian with Python, as near to python:slim as can be had without a registry of images."""
    if shutil.which("debootstrap") is None:
        pytest.skip(
            "python:3.12-slim cannot be pulled and debootstrap is not there to make a base: apt-get install debootstrap"
        )
    root, certificates = folder / "root", Path("/etc/ssl/certs/ca-certificates.crt")
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates", "bookworm", str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"a base image cannot be made here: {(made.stdout + made.stderr)[-300:]}")
    (root / CA[1:]).parent.mkdir(parents=True)
    shutil.copy(certificates, root / CA[1:])
    changes = [option for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE") for option in ("-c", f"ENV {name}={CA}")]
    archive = folder / "root.tar"
    run("tar", "-C", str(root), "-cf", str(archive), ".")
    run("docker", "import", *changes, str(archive), BASE)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Return the files of the compose project, after building what it needs."""
    if works("docker", "pull", "-q", "python:3.12-slim"):
        return ["docker-compose.yml"], {}
    if not works("docker", "image", "inspect", BASE):
        make_base(tmp_path_factory.mktemp("base"))
    reach = "python3 -m venv /v && /v/bin/pip download -q --no-deps -d /tmp wheel"
    if not works("docker", "run", "--rm", BASE, "sh", "-c", reach):
        pytest.skip("containers reach no package index here: nothing can be installed into an image")
    stack = ROOT / "tests" / "stack"
    build(PARTS, stack, stack / "parts.Dockerfile", BASE)
    jars = kafka_jars(no_progress)
    return ["docker-compose.yml", "tests/stack/local.yml"], {
        "MODELMESH_BASE": BASE,
        "KAFKA_JARS": os.path.commonpath(jars),
    }


def make_passwords(folder):
    """What deploy/passwords.sh writes, for a stack whose .env is somewhere else."""
    (folder / "deploy").mkdir()
    script = shutil.copy(ROOT / "deploy" / "passwords.sh", folder / "deploy")
    run("sh", str(script))
    return dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines())


class Stack:
    """A compose project under a name of its own."""

    def __init__(self, files, settings, folder):
        self._files = [option for file in files for option in ("-f", file)]
        ports = {name: free_port() for name in ("MODELMESH_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")}
        self.passwords = make_passwords(folder)
        self._environment = os.environ | settings | self.passwords | {name: str(port) for name, port in ports.items()}
        # The classic builder is in every engine; buildx is a package of its own.
        self._environment |= {"DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}
        self.url = f"http://127.0.0.1:{ports['MODELMESH_PORT']}"
        self.prometheus = f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}"

    def __call__(self, *arguments):
        return run(*COMPOSE, "-p", "modelmeshtest", *self._files, *arguments, env=self._environment)


@pytest.fixture(scope="module")
async def stack(images, tmp_path_factory):
    project = Stack(*images, tmp_path_factory.mktemp("passwords"))
    project("build", "-q")
    try:
        project("up", "-d")

        async def ready():
            try:
                async with aiohttp.ClientSession() as session, session.get(f"{project.url}/health/ready") as answer:
                    return answer.status == 200 and (await answer.json())["control_plane"]
            except aiohttp.ClientError:
                return False

        try:
            await until(ready, "the stack is ready", seconds=240)
        except pytest.fail.Exception:
            pytest.fail(f"the stack is not ready:\n{project('ps')}\n{project('logs', '--tail', '20')}")
        yield project
    finally:
        project("down", "-v", "--remove-orphans", "-t", "5")


# What somebody tries who runs code in a container; each line that it prints is a topic and what Kafka said.
ATTEMPTS = """
import asyncio
from modelmesh.broker.kafka.connection import make_producer
from modelmesh.schemas.settings import Settings

async def attempt(settings):
    producer = make_producer(settings)
    await producer.start()
    topics = settings.topics()
    for topic in (topics.deployments, topics.keys, topics.commands, topics.replicas):
        try:
            await producer.send_and_wait(topic.name, b"forged", key=b"m")
            print(topic.name, "taken")
        except Exception as error:
            print(topic.name, type(error).__name__)
    await producer.stop()

asyncio.run(attempt(Settings(name="intruder")))
"""
NO_LOGIN = """
import asyncio, sys
from modelmesh.broker.kafka.connection import wait_until_answers
from modelmesh.schemas.settings import Settings

asyncio.run(wait_until_answers(Settings().model_copy(update=dict(pair.split("=") for pair in sys.argv[1:])), 3))
"""


async def test_who_runs_code_in_a_container_has_that_roles_rights_on_kafka_and_no_other(stack):
    tried = stack("exec", "-T", "worker", "python3", "-c", ATTEMPTS).split("\n")
    assert tried[:4] == [
        "modelmesh.deployments TopicAuthorizationFailedError",
        "modelmesh.keys TopicAuthorizationFailedError",
        "modelmesh.commands TopicAuthorizationFailedError",
        "modelmesh.replicas taken",
    ]
    for login in (["kafka_security=PLAINTEXT"], ["kafka_user=admin"], ["kafka_user=modelmesh-control"]):
        with pytest.raises(AssertionError, match="BrokerUnavailable"):
            stack("exec", "-T", "worker", "python3", "-c", NO_LOGIN, *login)
    assert isinstance(json.loads(stack("run", "--rm", "-T", "operator", "dead-letters", "list", "--json")), list)


async def test_passwords_are_on_no_command_line_and_in_no_log_and_a_role_has_its_own_alone(stack):
    seen = stack("top") + stack("logs", "--no-color")
    assert "kafka.Kafka" in seen
    for name, password in stack.passwords.items():
        assert password not in seen, name
    allowed = {"gateway": {"POSTGRES", "REDIS"}, "router": {"REDIS"}, "control": {"POSTGRES"}, "recorder": {"POSTGRES"}}
    for role in ("gateway", "router", "worker", "control", "recorder"):
        environment = stack("exec", "-T", role, "env")
        has = {name.removesuffix("_PASSWORD") for name, password in stack.passwords.items() if password in environment}
        assert has == {f"KAFKA_{role.upper()}"} | allowed.get(role, set())


async def test_the_stack_serves_judges_and_survives_a_stopped_container(stack, tmp_path):
    key = json.loads(stack("exec", "-T", "gateway", "modelmesh", "keys", "create", "me", "--scope", "admin", "--json"))
    async with aiohttp.ClientSession() as session, session.post(f"{stack.url}/predict/m", json={}) as answer:
        assert answer.status == 401
    async with AsyncModelMeshClient(stack.url, api_key=key["key"]) as client:
        for number, fails in ((1, False), (2, True)):
            path = chaos_model(tmp_path / f"{number}.onnx", fails=fails)
            await client.register_model(
                "m", path, sample=SAMPLE, version=f"{number}.0.0", cache_ttl_seconds=60 * (number == 1)
            )
        assert (await client.predict("m", [0.0, 21.0])).outputs["value"] == [42.0]

        await client.create_canary("m", "2.0.0", 50, 0.05)

        async def rolled_back():
            answers = await asyncio.gather(*(client.predict("m", [1.0, float(n)]) for n in range(20)))
            assert [a.outputs["value"] for a in answers] == [[2.0 * n] for n in range(20)], (
                "no caller sees the canary fail"
            )
            return any(event["kind"] == "canary.rolled_back" for event in await client.history("m"))

        await until(rolled_back, "the canary is rolled back")

        workers = stack("ps", "-q", "worker").split()
        assert len(workers) == 2
        run("docker", "kill", workers[0])
        for number in range(200):
            assert (await client.predict("m", [0.0, float(number)])).outputs["value"] == [2.0 * number]

        async def written_down():
            return len(await client.inference_log("m", per_page=500)) >= 200

        await until(written_down, "the inference log has them")

    async def all_scraped():
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(
                    f"{stack.prometheus}/api/v1/query", params={"query": 'up{job=~"modelmesh-.+"} == 1'}
                ) as answer,
            ):
                found = (await answer.json())["data"]["result"]
        except aiohttp.ClientError:
            return False
        return {sample["metric"]["job"] for sample in found} == {
            f"modelmesh-{role}" for role in ("gateway", "router", "worker", "control", "recorder")
        }

    await until(all_scraped, "Prometheus scrapes every role")
    inside = stack("exec", "-T", "recorder", "sh", "-c", "id -u; touch /opt/x 2>&1 || true")
    assert inside.split("\n")[0] == "10001"
    assert "Read-only" in inside
    for line in stack("logs", "--no-color", "gateway").splitlines():
        assert key["key"] not in line
