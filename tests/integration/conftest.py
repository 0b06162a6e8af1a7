"""One real mesh for the whole run: Kafka, control plane, routers, two workers and gateway, each in its own process."""

import os
import signal
from functools import partial
from pathlib import Path

import aiohttp
import numpy as np
import pandas as pd
import pytest
from modelmesh.broker.embedded.progress import no_progress
from modelmesh.broker.embedded.server import free_port
from modelmesh.cli.local.mesh import Mesh
from modelmesh.producers.client import PredictionClient
from modelmesh.schemas.settings import Settings
from modelmesh.sdk import AsyncModelMeshClient
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.models.chaos_models import SAMPLE, chaos_model

from ..shell import printed
from .otlp_collector import Collector
from .redis_server import RedisServer
from .second_pass import MARK, forgotten, split
from .traffic import strategy_is


def pytest_collection_modifyitems(config, items):
    here = Path(__file__).parent
    ours = [item for item in items if item.path.is_relative_to(here)]
    if names := forgotten(ours):
        raise pytest.UsageError(f"these use the mesh's database or Redis: mark them {MARK}: {', '.join(names)}")
    if config.getoption("--database") == "postgresql":
        _, others = split(ours)
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in set(others)]


@pytest.fixture(scope="session")
async def collector():
    async with Collector() as running:
        yield running


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
async def mesh(request, tmp_path_factory, collector):
    # Only requests that ask for it are traced.
    parts = {"otlp": collector.url, "trace_sample": 0.0}
    if request.config.getoption("--database") == "postgresql":
        # External services instead of the embedded ones.
        parts |= {
            "database": request.getfixturevalue("postgres").database("mesh"),
            "redis": request.getfixturevalue("redis_server").url,
        }
    settings = Settings(
        data=tmp_path_factory.mktemp("mesh"),
        port=0,
        chaos=True,
        breaker_recovery=1.0,
        grpc_port=free_port(),
        watch_interval=5.0,  # every compiled model of the suite is watched
        **parts,
    )
    running = Mesh(
        settings,
        workers=2,
        routers=2,
        external_kafka=False,
        progress=no_progress,
        on_restart=lambda member, code: None,
    )
    async with running:
        yield running


@pytest.fixture(scope="session")
async def sdk(mesh):
    async with AsyncModelMeshClient(mesh.url) as client:
        yield client


@pytest.fixture(scope="session")
async def kafka_client(mesh):
    async with PredictionClient(mesh.settings) as client:
        yield client


@pytest.fixture(scope="session")
async def http(mesh):
    async with aiohttp.ClientSession(mesh.url) as session:
        yield session


@pytest.fixture(scope="session")
def cancer():
    """Rows, labels and a forest trained on half of them."""
    rows, labels = load_breast_cancer(return_X_y=True)
    forest = RandomForestClassifier(20, random_state=0).fit(rows[::2], labels[::2])
    return rows[1::2], labels[1::2], forest


@pytest.fixture(scope="session")
async def forest(sdk, cancer):
    """The name of a registered forest."""
    rows, _, model = cancer
    await sdk.register_model("forest", model, sample=rows[:20], metadata={"purpose": "tests"}, author="tests")
    return "forest"


@pytest.fixture(scope="session")
def payments():
    """A table with a number and a text, and a pipeline trained on it."""
    generator = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "amount": generator.gamma(2, 100, 400).round(2),
            "merchant": generator.choice(["Acme", "Globex", "Initech"], 400),
        }
    )
    fraud = ((table.amount > 250) & (table.merchant == "Acme")).astype(int)
    columns = ColumnTransformer(
        [("n", StandardScaler(), ["amount"]), ("t", OneHotEncoder(handle_unknown="ignore"), ["merchant"])]
    )
    return table, make_pipeline(columns, LogisticRegression()).fit(table, fraud)


@pytest.fixture(scope="session")
async def register(sdk, tmp_path_factory):
    """Register versions of a chaos model: 1.0.0 is well-behaved and live, later ones have the given options."""
    folder = tmp_path_factory.mktemp("chaos")

    async def register_versions(name, *options):
        for number, behaviour in enumerate(({}, *options), 1):
            path = chaos_model(folder / f"{name}-{number}.onnx", **behaviour)
            await sdk.register_model(name, path, sample=SAMPLE, version=f"{number}.0.0")
        return name

    return register_versions


@pytest.fixture(scope="session")
async def doubler(sdk, tmp_path_factory):
    """A model whose version 1 doubles, and whose candidate, with half of the requests, triples."""
    folder = tmp_path_factory.mktemp("v2")
    for number, scale in ((1, 2.0), (2, 3.0)):
        path = chaos_model(folder / f"{number}.onnx", scale=scale)
        await sdk.register_model("doubler", path, sample=SAMPLE, version=f"{number}.0.0")
    await sdk.create_canary("doubler", "2.0.0", 50, latency_tolerance=None)
    await strategy_is(sdk, "doubler", "canary")
    yield "doubler"
    await sdk.rollback_canary("doubler")


def kill(mesh, name, number=signal.SIGKILL):
    """Send a signal to a member; return the process that got it."""
    member = next(member for member in mesh.supervisor.members if member.name == name)
    os.kill(member.pid, number)
    return member.process


@pytest.fixture(scope="session")
def modelmesh(mesh):
    """Run a command; return its output, or raise its error."""
    return partial(printed, MODELMESH_URL=mesh.url, MODELMESH_KAFKA=mesh.settings.kafka)
