"""Profiles of versions, names and results of experiments.

Revision ID: 0002_releases
"""

import sqlalchemy as sa
from alembic import op

revision = "0002_releases"
down_revision = "0001_initial"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("versions") as versions:
        versions.add_column(sa.Column("profile", sa.JSON()))
        versions.add_column(sa.Column("output_bins", sa.JSON()))
    with op.batch_alter_table("experiments") as experiments:
        experiments.alter_column("id", existing_type=sa.String(64), type_=sa.String(96), existing_nullable=False)
        experiments.add_column(sa.Column("name", sa.String(128), nullable=False, server_default=""))
        experiments.add_column(sa.Column("results", sa.JSON()))


def downgrade() -> None:
    with op.batch_alter_table("experiments") as experiments:
        experiments.drop_column("results")
        experiments.drop_column("name")
        experiments.alter_column("id", existing_type=sa.String(96), type_=sa.String(64), existing_nullable=False)
    with op.batch_alter_table("versions") as versions:
        versions.drop_column("output_bins")
        versions.drop_column("profile")
