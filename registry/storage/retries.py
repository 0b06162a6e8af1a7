"""Run a writer of the database, restarting it after failures of the database or the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from .database import make_engine
from .migrate import upgrade

log = structlog.get_logger(__name__)
RETRY_AFTER = 1.0


async def write_with_retries(
    url: str, what: str, write: Callable[[AsyncEngine], Awaitable[None]], set_status: Callable[[str], None]
) -> None:
    """Run `write` with an engine until cancelled; restart it a second after the database or the broker failed.

    `set_status` is called with "waiting: " and the reason; `write` must resume from the state in the database.
    """
    while True:
        engine = make_engine(url)
        try:
            await upgrade(url)
            await write(engine)
        except (SQLAlchemyError, OSError, KafkaError) as error:
            set_status(f"waiting: {error}"[:300])
            log.warning(f"{what}.waiting", error=str(error)[:300])
            await asyncio.sleep(RETRY_AFTER)
        finally:
            await engine.dispose()
