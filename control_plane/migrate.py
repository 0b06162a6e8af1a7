"""Bring the database to the newest schema with Alembic."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


async def upgrade(url: str, revision: str = "head") -> None:
    """Upgrade the database at the URL."""
    await asyncio.to_thread(command.upgrade, _config(url), revision)


async def downgrade(url: str, revision: str) -> None:
    """Downgrade the database at the URL; `base` empties it."""
    await asyncio.to_thread(command.downgrade, _config(url), revision)
