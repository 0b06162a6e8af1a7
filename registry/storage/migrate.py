"""Migrate the database's schema with Alembic, and read its revision."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from ...schemas.errors import InvalidInput, SetupError
from .database import make_engine

# Alembic's environment is global to the process.
_LOCK = threading.Lock()


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


async def upgrade(url: str, revision: str = "head") -> None:
    """Upgrade the database at the URL. Raises the driver's error when it cannot be reached."""
    await asyncio.to_thread(_migrate, command.upgrade, url, revision)


async def downgrade(url: str, revision: str) -> None:
    """Downgrade the database at the URL; `base` empties it."""
    await asyncio.to_thread(_migrate, command.downgrade, url, revision)


def _migrate(action: Callable[[Config, str], None], url: str, revision: str) -> None:
    with _LOCK:
        action(_config(url), revision)


def newest() -> str:
    """Return the revision that this code requires."""
    return ScriptDirectory.from_config(_config("sqlite://")).get_current_head() or "base"


async def current(url: str) -> str:
    """Return the database's revision; `base` if it is empty."""
    engine = make_engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_revision_of)
    finally:
        await engine.dispose()


def _revision_of(connection: Any) -> str:
    return MigrationContext.configure(connection).get_current_revision() or "base"


def translate_errors(url: str, action: Callable[[], Any]) -> Any:
    """Run `action` and return its result. Errors of Alembic become InvalidInput, errors of the driver SetupError."""
    try:
        return action()
    except CommandError as error:
        raise InvalidInput(
            f"{error}: `modelmesh db current` shows the database's revision", field="revision"
        ) from error
    except (DBAPIError, OSError) as error:
        where = make_url(url).render_as_string(hide_password=True)
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise SetupError(
            f"the database {where} cannot be used: {reason} (MODELMESH_DATABASE says where to look)"
        ) from error
