"""Labels, and the accuracy of the answers.

Revision ID: 0006_labels
"""

import sqlalchemy as sa
from alembic import op

revision = "0006_labels"
down_revision = "0005_seals"
branch_labels = None
depends_on = None

Timestamp = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "labels",
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("label", sa.JSON(), nullable=False),
        sa.Column("at", Timestamp, nullable=False),
        sa.Column("version", sa.String(32)),
        sa.Column("rows", sa.Integer()),
        sa.Column("right", sa.Integer()),
        sa.Column("error", sa.Float()),
        sa.PrimaryKeyConstraint("request_id", name="pk_labels"),
    )
    op.create_index("ix_labels_model_at", "labels", ["model", "at"])
    op.create_index("ix_labels_at", "labels", ["at"])
    op.create_index("ix_labels_rows", "labels", ["rows"])


def downgrade() -> None:
    op.drop_table("labels")
