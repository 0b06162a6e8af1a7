"""The judge decides whatever else is down: the database, the gateway, and after a kill it goes on from its changelog."""

import asyncio
import contextlib
import sqlite3

from modelmesh.broker.releases_view import ReleasesView

from .conftest import kill
from .test_faults import ready
from .traffic import Traffic, history, strategy_is
from .waiting import until


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
    # What it knew before the kill counts still: the table came back from its changelog.
    assert event["data"]["evidence"]["versions"]["2.0.0"]["requests"] > before
    assert event["data"]["evidence"]["versions"]["2.0.0"]["failed"] > 0


@contextlib.asynccontextmanager
async def database_away(request, mesh):
    """PostgreSQL is stopped; SQLite, which is only a file, is locked so that nobody else can write a word."""
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
    await until(lambda: ready(http), "the gateway is back", seconds=60)
    # The history follows once it can.
    assert (await history(sdk, model, "canary.rolled_back"))["actor"] == "judge"
