"""The database's schema goes up and down with rows in its tables."""

import asyncio
import os
import sys

import pytest
import sqlalchemy as sa
from modelmesh.registry.storage.database import Base, make_engine
from modelmesh.registry.storage.migrate import current, downgrade, newest, upgrade


async def tables_of(engine):
    async with engine.connect() as connection:
        return set(await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names()))


async def test_up_down_and_up_again_with_rows(database_url):
    url = database_url
    await upgrade(url)
    engine = make_engine(url)
    try:
        assert set(Base.metadata.tables) <= await tables_of(engine)
        models = Base.metadata.tables["models"]
        row = {"name": "m", "framework": "onnx", "created_at": sa.func.now()}
        async with engine.begin() as connection:
            await connection.execute(sa.insert(models).values(**{k: v for k, v in row.items() if k in models.c}))
        await upgrade(url)  # a second time changes nothing
        async with engine.connect() as connection:
            assert (await connection.execute(sa.select(sa.func.count()).select_from(models))).scalar_one() == 1
        await downgrade(url, "base")
        assert await tables_of(engine) <= {"alembic_version"}
        await upgrade(url)
        assert set(Base.metadata.tables) <= await tables_of(engine)
    finally:
        await engine.dispose()


async def test_the_migrations_and_the_models_say_the_same(database_url):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    url = database_url
    await upgrade(url)
    engine = make_engine(url)
    try:
        async with engine.connect() as connection:
            differences = await connection.run_sync(
                lambda sync: compare_metadata(MigrationContext.configure(sync), Base.metadata)
            )
        assert differences == []
    finally:
        await engine.dispose()


async def test_roles_that_start_together_migrate_one_after_the_other(postgres):
    url = postgres.database("together")
    command = (sys.executable, "-m", "modelmesh", "db", "upgrade")
    environment = os.environ | {"MODELMESH_DATABASE": url}
    processes = await asyncio.gather(
        *(asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE) for _ in range(3))
    )
    for process in processes:
        out, _ = await process.communicate()
        assert (process.returncode, newest().encode() in out) == (0, True)
    assert await current(url) == newest()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+asyncpg://me:secret@127.0.0.1:1/none", "cannot be used"),
        ("mysql+nothing://me:secret@127.0.0.1/none", "is not installed"),
        ("nonsense", "is not a database URL"),
    ],
)
async def test_a_database_that_cannot_be_used_is_said_in_one_line_without_its_password(url, said):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "modelmesh", "db", "current",
        env=os.environ | {"MODELMESH_DATABASE": url, "COLUMNS": "300"}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, error = await process.communicate()
    assert process.returncode == 1
    assert said in error.decode()
    assert "Traceback" not in error.decode()
    assert "secret" not in error.decode()


async def test_rows_from_before_there_were_nonces_stay_and_of_several_under_one_id_the_newest_goes_down(database_url):
    await upgrade(database_url, "0008_idempotency")
    engine = make_engine(database_url)
    log, labels = "INSERT INTO inference_log ({}) VALUES ({})", "INSERT INTO labels ({}) VALUES ({})"
    now = "2026-01-01 00:00:0"
    try:
        async with engine.begin() as connection:
            await connection.execute(sa.text(log.format("request_id, model, at, attempts", f"'old', 'm', '{now}0', 1")))
            await connection.execute(
                sa.text(labels.format("request_id, model, label, at", f"'old', 'm', '[1]', '{now}0'"))
            )
        await upgrade(database_url)
        async with engine.begin() as connection:
            row = (
                await connection.execute(sa.text("SELECT nonce, request_id, model, caller FROM inference_log"))
            ).one()
            assert tuple(row) == ("old", "old", "m", "")
            assert (await connection.execute(sa.text("SELECT request_id, caller FROM labels"))).one() == ("old", "")
            for second, (nonce, model) in enumerate([("n1", "m"), ("n2", "m"), ("n2", "k")]):
                values = f"'{nonce}', 'old', '{model}', '{now}{min(second + 1, 2)}', 1"
                await connection.execute(sa.text(log.format("nonce, request_id, model, at, attempts", values)))
            for second, model in enumerate("kj"):
                values = f"'old', '{model}', '[1]', '{now}{second + 1}'"
                await connection.execute(sa.text(labels.format("request_id, model, label, at", values)))
        await downgrade(database_url, "0008_idempotency")
        async with engine.connect() as connection:
            assert (await connection.execute(sa.text("SELECT request_id, model FROM inference_log"))).all() == [
                ("old", "m")
            ]
            assert (await connection.execute(sa.text("SELECT request_id, model FROM labels"))).all() == [("old", "j")]
        await upgrade(database_url)
    finally:
        await engine.dispose()
