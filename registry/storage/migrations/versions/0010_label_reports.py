"""What the judge needs of a labelled answer: trial and release of its request, and the reports on the way to it.

Revision ID: 0010_label_reports
"""

import sqlalchemy as sa
from alembic import op

revision = "0010_label_reports"
down_revision = "0009_request_labels"
branch_labels = None
depends_on = None

_COLUMNS = ("trial", "generation", "fallback", "key_unit", "reported")


def upgrade() -> None:
    with op.batch_alter_table("inference_log") as table:
        table.add_column(sa.Column("trial", sa.Integer()))
        table.add_column(sa.Column("generation", sa.Integer()))
        table.add_column(sa.Column("fallback", sa.String(32)))
        table.add_column(sa.Column("key_unit", sa.Integer()))
        table.add_column(sa.Column("reported", sa.Boolean()))
    op.create_table(
        "label_reports",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_label_reports"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("label_reports")
    with op.batch_alter_table("inference_log") as table:
        for name in _COLUMNS:
            table.drop_column(name)
