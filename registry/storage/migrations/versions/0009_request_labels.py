"""A request id need not be unique: inference rows are identified by nonce and model, labels by model, id and caller.

Revision ID: 0009_request_labels
"""

import sqlalchemy as sa
from alembic import op

revision = "0009_request_labels"
down_revision = "0008_idempotency"
branch_labels = None
depends_on = None

# Rows from before there were nonces keep their request id as one.
_NEWEST = """
    DELETE FROM {table} WHERE EXISTS (
        SELECT 1 FROM {table} AS other WHERE other.request_id = {table}.request_id AND (
            other.at > {table}.at OR (other.at = {table}.at AND ({others}) > ({mine}))
        )
    )
"""


def upgrade() -> None:
    with op.batch_alter_table("inference_log") as table:
        table.add_column(sa.Column("nonce", sa.String(128)))
        table.add_column(sa.Column("caller", sa.String(128), nullable=False, server_default=""))
    op.execute("UPDATE inference_log SET nonce = request_id")
    with op.batch_alter_table("inference_log") as table:
        table.alter_column("nonce", existing_type=sa.String(128), nullable=False)
        table.drop_constraint("pk_inference_log", type_="primary")
        table.create_primary_key("pk_inference_log", ["request_id", "nonce", "model"])
    with op.batch_alter_table("labels") as table:
        table.add_column(sa.Column("caller", sa.String(128), nullable=False, server_default=""))
        table.drop_constraint("pk_labels", type_="primary")
        table.create_primary_key("pk_labels", ["model", "request_id", "caller"])


def downgrade() -> None:
    # Of several rows under one id the newest stays.
    op.execute(_NEWEST.format(table="labels", others="other.model, other.caller", mine="labels.model, labels.caller"))
    with op.batch_alter_table("labels") as table:
        table.drop_constraint("pk_labels", type_="primary")
        table.create_primary_key("pk_labels", ["request_id"])
        table.drop_column("caller")
    op.execute(
        _NEWEST.format(
            table="inference_log", others="other.nonce, other.model", mine="inference_log.nonce, inference_log.model"
        )
    )
    with op.batch_alter_table("inference_log") as table:
        table.drop_constraint("pk_inference_log", type_="primary")
        table.create_primary_key("pk_inference_log", ["request_id"])
        table.drop_column("nonce")
        table.drop_column("caller")
