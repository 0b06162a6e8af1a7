"""The database: the registry's tables, the history of releases, experiments and the inference log."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    event,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from ...schemas.errors import SetupError


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC. SQLite drops the time zone; this restores it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return a time without a zone as UTC."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


# SQLite autoincrements only plain INTEGER keys.
BigKey = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """The base of all tables. Constraints are named, so that migrations can find them on any database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class ModelRow(Base):
    """A model: a name under which versions are registered."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    framework: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    versions: Mapped[list[VersionRow]] = relationship(back_populates="model", order_by="VersionRow.id")


class VersionRow(Base):
    """A version: immutable artifacts, with their signature, origin and proof."""

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("model_id", "version"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    version: Mapped[str] = mapped_column(String(32))
    framework: Mapped[str] = mapped_column(String(32))
    served_as: Mapped[str] = mapped_column(String(32))
    source_url: Mapped[str] = mapped_column(Text)
    source_digest: Mapped[str] = mapped_column(String(64))
    artifact_url: Mapped[str] = mapped_column(Text)
    artifact_digest: Mapped[str] = mapped_column(String(64))
    seal: Mapped[str] = mapped_column(String(128), default="", server_default="")
    size: Mapped[int] = mapped_column(BigInteger)
    signature: Mapped[dict[str, Any]] = mapped_column(JSON)
    batching: Mapped[dict[str, Any]] = mapped_column(JSON)
    cache_ttl_seconds: Mapped[float] = mapped_column(Float, default=0.0, server_default="0")
    sample: Mapped[list[Any]] = mapped_column(JSON)
    parity: Mapped[dict[str, Any]] = mapped_column(JSON)
    proof: Mapped[dict[str, Any]] = mapped_column(JSON)
    profile: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    output_bins: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    libraries: Mapped[dict[str, Any]] = mapped_column(JSON)
    attributes: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    author: Mapped[str] = mapped_column(String(128))
    parent: Mapped[str | None] = mapped_column(String(32))
    data_digest: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    model: Mapped[ModelRow] = relationship(back_populates="versions")


class DeploymentRow(Base):
    """One entry in a release's history, projected from an event. The topic `events` is the source of truth."""

    __tablename__ = "deployments"
    __table_args__ = (Index("ix_deployments_model_generation", "model", "generation"),)

    event_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    kind: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(64))
    generation: Mapped[int] = mapped_column(Integer)
    strategy: Mapped[str | None] = mapped_column(String(16))
    version: Mapped[str | None] = mapped_column(String(32))
    actor: Mapped[str] = mapped_column(String(128))
    summary: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class ExperimentRow(Base):
    """An A/B experiment, projected from its events; `results` are the final ones."""

    __tablename__ = "experiments"

    id: Mapped[str] = mapped_column(String(96), primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    model: Mapped[str] = mapped_column(String(64), index=True)
    variants: Mapped[list[Any]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    results: Mapped[dict[str, Any] | None] = mapped_column(JSON)


class InferenceRow(Base):
    """One request and its outcome; `status` is null until it is known.

    `request_id` is the caller's and need not be unique; `nonce` is unique. `reported`: its label went to the judge.
    """

    __tablename__ = "inference_log"
    __table_args__ = (Index("ix_inference_log_model_at", "model", "at"),)

    # The request id is the first key column, so that a search by it needs no second index.
    request_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    nonce: Mapped[str] = mapped_column(String(128), primary_key=True)
    model: Mapped[str] = mapped_column(String(64), primary_key=True)
    caller: Mapped[str] = mapped_column(String(128), default="", server_default="")
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    attempts: Mapped[int] = mapped_column(Integer)
    request: Mapped[bytes | None] = mapped_column(LargeBinary)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    status: Mapped[int | None] = mapped_column(Integer)
    version: Mapped[str | None] = mapped_column(String(32))
    variant: Mapped[str | None] = mapped_column(String(64))
    worker: Mapped[str | None] = mapped_column(String(128))
    reply: Mapped[bytes | None] = mapped_column(LargeBinary)
    trial: Mapped[int | None] = mapped_column(Integer)
    generation: Mapped[int | None] = mapped_column(Integer)
    fallback: Mapped[str | None] = mapped_column(String(32))
    key_unit: Mapped[int | None] = mapped_column(Integer)
    reported: Mapped[bool | None] = mapped_column(Boolean)


class LabelReportRow(Base):
    """Labelled answers on their way to the judge, in order of `id`; deleted once they are on the log."""

    __tablename__ = "label_reports"
    __table_args__ = ({"sqlite_autoincrement": True},)  # an id is never used again

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    model: Mapped[str] = mapped_column(String(64))
    report: Mapped[dict[str, Any]] = mapped_column(JSON)


class LabelRow(Base):
    """The label of one request, and the accuracy of its answer; `rows` is null until the two are joined."""

    __tablename__ = "labels"
    __table_args__ = (Index("ix_labels_model_at", "model", "at"),)

    model: Mapped[str] = mapped_column(String(64), primary_key=True)
    request_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    caller: Mapped[str] = mapped_column(String(128), primary_key=True, default="", server_default="")
    label: Mapped[Any] = mapped_column(JSON)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    version: Mapped[str | None] = mapped_column(String(32))
    rows: Mapped[int | None] = mapped_column(Integer, index=True)
    right: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[float | None] = mapped_column(Float)


class ReplayRow(Base):
    """A replay requested over HTTP; its runner updates `updated_at` every second."""

    __tablename__ = "replays"

    id: Mapped[str] = mapped_column(String(96), primary_key=True)
    model: Mapped[str] = mapped_column(String(64), index=True)
    asked: Mapped[dict[str, Any]] = mapped_column(JSON)
    actor: Mapped[str] = mapped_column(String(128))
    state: Mapped[str] = mapped_column(String(16))
    progress: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class IdempotencyRow(Base):
    """The stored answer for an idempotency key; `status` is null until the change is done."""

    __tablename__ = "idempotency"

    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    caller: Mapped[str] = mapped_column(String(128), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None] = mapped_column(Integer)
    content_type: Mapped[str | None] = mapped_column(String(128))
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)


class LogOffsetRow(Base):
    """A partition's next offset, stored in the same transaction as its rows."""

    __tablename__ = "log_offsets"

    topic: Mapped[str] = mapped_column(String(255), primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    offset: Mapped[int] = mapped_column(BigInteger)


def clip_to_column(column: InstrumentedAttribute[Any], text: str) -> str:
    """Return a text from Kafka without NUL, cut to the length of the column.

    PostgreSQL refuses both, and one such row would block all later rows.
    """
    return text.replace("\0", "")[: _length_of(column)]


@cache  # slow, and called for several columns of each request
def _length_of(column: InstrumentedAttribute[Any]) -> int | None:
    length: int | None = getattr(column.type, "length", None)
    return length


def upsert(bind: AsyncEngine | AsyncConnection) -> Any:
    """Return the dialect's INSERT, which supports ON CONFLICT."""
    return postgresql.insert if bind.dialect.name == "postgresql" else sqlite.insert


def make_engine(url: str) -> AsyncEngine:
    """Return an engine. Raises SetupError for a URL that SQLAlchemy cannot read."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SetupError(
            "MODELMESH_DATABASE is not a database URL: use sqlite+aiosqlite:///path or postgresql+asyncpg://user@host/name"
        ) from None
    if parsed.drivername == "sqlite+aiosqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    try:
        engine = create_async_engine(parsed)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise SetupError(
            f"MODELMESH_DATABASE names {parsed.drivername}, which is not installed: "
            "use sqlite+aiosqlite:///path or postgresql+asyncpg://user@host/name"
        ) from error
    if parsed.get_backend_name() == "sqlite":
        event.listen(engine.sync_engine, "connect", _configure_sqlite)
    return engine


def _configure_sqlite(connection: Any, _: Any) -> None:
    """Allow concurrent readers and one writer (WAL), and wait for locks instead of failing."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "busy_timeout=10000", "foreign_keys=ON", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
