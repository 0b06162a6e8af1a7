"""Alembic's environment: run the migrations on the engine that the services use."""

import asyncio

from alembic import context
from modelmesh.registry.storage.database import Base, make_engine
from sqlalchemy import Connection, text

LOCK = 0x4D6F64656C


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # Roles that start together migrate one after the other; the lock is released with the transaction.
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": LOCK})
        context.run_migrations()


async def _migrate() -> None:
    url = context.config.get_main_option("sqlalchemy.url")
    assert url is not None
    engine = make_engine(url)
    async with engine.connect() as connection:
        await connection.run_sync(_run)
        await connection.commit()
    await engine.dispose()


asyncio.run(_migrate())
