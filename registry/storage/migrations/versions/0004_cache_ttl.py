"""The time to live of a version's cached answers.

Revision ID: 0004_cache_ttl
"""

import sqlalchemy as sa
from alembic import op

revision = "0004_cache_ttl"
down_revision = "0003_inference_log"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("cache_ttl_seconds", sa.Float(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("versions", "cache_ttl_seconds")
