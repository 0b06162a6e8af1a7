"""The seal of a version's artifact.

Revision ID: 0005_seals
"""

import sqlalchemy as sa
from alembic import op

revision = "0005_seals"
down_revision = "0004_cache_ttl"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("seal", sa.String(128), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("versions", "seal")
