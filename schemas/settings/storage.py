"""Where data is kept."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class StorageSettings(BaseSettings):
    """The data folder, the database and the artifact store."""

    model_config = SettingsConfigDict(env_prefix="MODELMESH_", extra="ignore")

    data: Path = Field(
        default=Path("modelmesh-data"), description="folder for the embedded broker, SQLite and artifacts"
    )
    database: str = Field(default="", description="SQLAlchemy URL; empty: SQLite in the data folder")
    artifacts: str = Field(
        default="", description="fsspec URL of the artifact store; empty: a folder in the data folder"
    )

    @property
    def database_url(self) -> str:
        """The database's URL; by default SQLite in the data folder."""
        return self.database or f"sqlite+aiosqlite:///{self.data.resolve() / 'modelmesh.db'}"

    @property
    def artifacts_url(self) -> str:
        """The artifact store's URL; by default a folder in the data folder."""
        return self.artifacts or f"file://{self.data.resolve() / 'artifacts'}"
