"""Models, versions, deployments, experiments, inference log.

Revision ID: 0001_initial
"""

import sqlalchemy as sa
from alembic import op

revision = "0001_initial"
down_revision = None
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Timestamp = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_registry()
    _create_history()
    _create_inference_log()


def _create_registry() -> None:
    op.create_table(
        "models",
        sa.Column("id", Key, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("framework", sa.String(32), nullable=False),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("name", name="uq_models_name"),
    )
    op.create_table(
        "versions",
        sa.Column("id", Key, nullable=False),
        sa.Column("model_id", Key, nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("framework", sa.String(32), nullable=False),
        sa.Column("served_as", sa.String(32), nullable=False),
        sa.Column("source_url", sa.Text(), nullable=False),
        sa.Column("source_digest", sa.String(64), nullable=False),
        sa.Column("artifact_url", sa.Text(), nullable=False),
        sa.Column("artifact_digest", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("signature", sa.JSON(), nullable=False),
        sa.Column("batching", sa.JSON(), nullable=False),
        sa.Column("sample", sa.JSON(), nullable=False),
        sa.Column("parity", sa.JSON(), nullable=False),
        sa.Column("proof", sa.JSON(), nullable=False),
        sa.Column("libraries", sa.JSON(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("author", sa.String(128), nullable=False),
        sa.Column("parent", sa.String(32)),
        sa.Column("data_digest", sa.String(64)),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_versions_model_id"),
        sa.UniqueConstraint("model_id", "version", name="uq_versions_model_id_version"),
    )


def _create_history() -> None:
    op.create_table(
        "deployments",
        sa.Column("event_id", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("strategy", sa.String(16)),
        sa.Column("version", sa.String(32)),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("problem", sa.JSON()),
        sa.Column("at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="pk_deployments"),
    )
    op.create_index("ix_deployments_model_generation", "deployments", ["model", "generation"])
    op.create_table(
        "experiments",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("variants", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.Column("ended_at", Timestamp),
        sa.PrimaryKeyConstraint("id", name="pk_experiments"),
    )
    op.create_index("ix_experiments_model", "experiments", ["model"])


def _create_inference_log() -> None:
    op.create_table(
        "inference_log",
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("variant", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("latency_ms", sa.Float()),
        sa.Column("request", sa.LargeBinary()),
        sa.Column("reply", sa.LargeBinary()),
        sa.Column("at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_inference_log"),
    )
    op.create_index("ix_inference_log_model_at", "inference_log", ["model", "at"])


def downgrade() -> None:
    for table in ("inference_log", "experiments", "deployments", "versions", "models"):
        op.drop_table(table)
