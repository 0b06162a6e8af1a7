"""The judge decides while the database or the gateway is down, and resumes from its changelog after a kill."""

import asyncio
import contextlib
import os
import sqlite3
import sys

import pytest
from modelmesh.broker.views.releases import ReleasesView
from modelmesh.cli.local.status import mesh_status
from modelmesh.schemas.errors import ControlPlaneUnavailable

from ..conftest import kill
from ..failures.test_faults import ready
from ..traffic import Traffic, history, strategy_is
from ..waiting import until

pytestmark = pytest.mark.both_databases


async def test_a_killed_control_plane_recovers_its_evidence_and_still_decides(mesh, http, sdk, kafka_client, register):
    model = await register("killed-judge", {"fails": True})
    await sdk.create_canary(model, "2.0.0", 20)

    async def requests_of_candidate():
        statistics = (await sdk.canary(model))["statistics"]
        return statistics["versions"]["2.0.0"]["requests"] if statistics else 0

    async with Traffic(kafka_client, model).flowing() as traffic:

        async def enough():
            return await requests_of_candidate() >= 60

        await until(enough, "evidence before the kill")
        before = await requests_of_candidate()
        await kill(mesh, "control").wait()
        traffic.flagged = 0.5
        await strategy_is(sdk, model, "full")
    assert traffic.wrong == []
    await until(lambda: ready(http), "the control plane is back")
    event = await history(sdk, model, "canary.rolled_back")
    # Evidence from before the kill counts: the table was restored from its changelog.
    assert event["data"]["evidence"]["versions"]["2.0.0"]["requests"] > before
    assert event["data"]["evidence"]["versions"]["2.0.0"]["failed"] > 0


async def test_a_command_during_which_the_control_plane_dies_is_all_or_nothing(mesh, http, sdk, register):
    """It is killed the moment that the new release is on the log, so that its table has lost it."""
    model = await register("torn", {})
    killed: asyncio.Queue[asyncio.subprocess.Process] = asyncio.Queue()
    fatal = 0  # the generation that it does not survive

    def kill_it(name, release):
        if name == model and release.generation == fatal:
            killed.put_nowait(kill(mesh, "control"))

    async def back():
        # By its own word: for a second after the kill its last heartbeat still counts.
        return (await mesh_status(mesh.settings))["healthy"] and await ready(http)

    view = ReleasesView(mesh.settings, None, kill_it)
    following = asyncio.create_task(view.run())
    try:
        await view.ready.wait()
        generation = view.releases[model].generation
        for start in (True, False, True, False):
            fatal = generation + 1
            with contextlib.suppress(ControlPlaneUnavailable):
                await (sdk.create_canary(model, "2.0.0", 20) if start else sdk.rollback_canary(model))
            async with asyncio.timeout(90):
                await (await killed.get()).wait()
            await until(back, "the control plane is back")
            on_log = view.releases[model]
            assert (on_log.generation, on_log.strategy) == (fatal, "canary" if start else "full")
            await history(sdk, model, "canary.started" if start else "canary.rolled_back")
            generation = fatal
            if start:  # its table has it too: a command that is based on it is carried out
                step = await sdk.set_canary_percentage(model, 30, generation=generation)
                generation = step["event"]["generation"]
                assert generation == fatal + 1
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


@contextlib.asynccontextmanager
async def database_away(request, mesh):
    """Stop PostgreSQL; lock SQLite, which is a file, against all other writers."""
    if mesh.settings.database:
        postgres = request.getfixturevalue("postgres")
        await asyncio.to_thread(postgres.stop)
        try:
            yield
        finally:
            await asyncio.to_thread(postgres.start)
        return
    database = sqlite3.connect(mesh.settings.data / "modelmesh.db", isolation_level=None, timeout=30)
    database.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        database.execute("ROLLBACK")
        database.close()


async def test_a_rollback_needs_neither_the_database_nor_the_gateway(request, mesh, http, sdk, kafka_client, register):
    model = await register("on-its-own", {"fails": True})
    await sdk.create_canary(model, "2.0.0", 20)
    view = ReleasesView(mesh.settings, None)
    following = asyncio.create_task(view.run())
    try:
        async with database_away(request, mesh):
            await kill(mesh, "gateway").wait()
            async with Traffic(kafka_client, model).flowing() as traffic:
                traffic.flagged = 1.0

                async def rolled_back():
                    return view.releases[model].strategy == "full"

                await view.ready.wait()
                await until(rolled_back, "a rollback on the log")
                assert view.releases[model].stable.version == "1.0.0"
            assert traffic.wrong == []
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
    await until(lambda: ready(http), "the gateway is back")
    # The history catches up.
    assert (await history(sdk, model, "canary.rolled_back"))["actor"] == "judge"


async def test_two_control_planes_share_the_work_and_one_may_die(mesh, http, sdk, kafka_client, register, tmp_path):
    """A model has one writer, the owner of its key: a second control plane takes over some of the models."""
    models = [await register(f"shared-{number}", {"fails": True}) for number in range(4)]
    settings = {
        "kafka": mesh.settings.kafka,
        "data": tmp_path,
        "database": mesh.settings.database_url,
        "name": "control-b",
    }
    second = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "modelmesh",
        "control",
        env=os.environ | {f"MODELMESH_{name.upper()}": str(value) for name, value in settings.items()},
        stderr=(tmp_path / "log").open("wb"),
    )

    async def both_alive():
        async with http.get("/health") as answer:
            return "control-b" in (await answer.json())["replicas"]

    async def deployed(model, version):
        try:
            await sdk.deploy(model, version)
        except ControlPlaneUnavailable:
            return False  # during the rebalance
        return True

    await until(both_alive, "the second control plane is there")
    for version in ("2.0.0", "1.0.0"):
        for model in models:
            await until(lambda model=model, version=version: deployed(model, version), f"{model} {version}")
    second.kill()
    await second.wait()
    for model in models:
        await until(lambda model=model: deployed(model, "2.0.0"), f"{model} after the death of one")
        generations = [event["generation"] for event in await sdk.history(model) if event["kind"] == "release.deployed"]
        assert len(generations) == len(set(generations)), "no generation was given twice"
    for model in models:
        await sdk.deploy(model, "1.0.0")
