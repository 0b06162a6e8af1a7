"""Replays requested over HTTP.

Revision ID: 0007_replays
"""

import sqlalchemy as sa
from alembic import op

revision = "0007_replays"
down_revision = "0006_labels"
branch_labels = None
depends_on = None

Timestamp = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "replays",
        sa.Column("id", sa.String(96), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("report", sa.JSON()),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.Column("updated_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_replays"),
    )
    op.create_index("ix_replays_model", "replays", ["model"])


def downgrade() -> None:
    op.drop_table("replays")
