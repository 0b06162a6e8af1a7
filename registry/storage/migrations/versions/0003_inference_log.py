"""The inference log as it is written: a row may wait for its outcome, and offsets are stored with the rows.

Revision ID: 0003_inference_log
"""

import sqlalchemy as sa
from alembic import op

revision = "0003_inference_log"
down_revision = "0002_releases"
branch_labels = None
depends_on = None

Timestamp = sa.DateTime(timezone=True)


def upgrade() -> None:
    # Nothing was ever written to the first version of the table.
    op.drop_table("inference_log")
    op.create_table(
        "inference_log",
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("at", Timestamp, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("request", sa.LargeBinary()),
        sa.Column("answered_at", Timestamp),
        sa.Column("status", sa.Integer()),
        sa.Column("version", sa.String(32)),
        sa.Column("variant", sa.String(64)),
        sa.Column("worker", sa.String(128)),
        sa.Column("reply", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("request_id", name="pk_inference_log"),
    )
    op.create_index("ix_inference_log_model_at", "inference_log", ["model", "at"])
    op.create_index("ix_inference_log_at", "inference_log", ["at"])
    op.create_table(
        "log_offsets",
        sa.Column("topic", sa.String(255), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", name="pk_log_offsets"),
    )


def downgrade() -> None:
    op.drop_table("log_offsets")
    op.drop_table("inference_log")
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
