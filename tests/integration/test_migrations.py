"""The database's schema goes up and down with rows in its tables."""

import sqlalchemy as sa
from modelmesh.control_plane.database import Base, make_engine
from modelmesh.control_plane.migrate import downgrade, upgrade


async def tables_of(engine):
    async with engine.connect() as connection:
        return set(await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names()))


async def test_up_down_and_up_again_with_rows(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path / 'test.db'}"
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


async def test_the_migrations_and_the_models_say_the_same(tmp_path):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    url = f"sqlite+aiosqlite:///{tmp_path / 'test.db'}"
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
