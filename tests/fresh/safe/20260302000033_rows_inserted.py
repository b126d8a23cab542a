"""SAFE. A few rows come, and those that are there stay."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000033"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "migrate"


def upgrade() -> None:
    op.execute(
        "INSERT INTO model_mappings (requested_model, strategy) VALUES ('new-1', 'round_robin') ON CONFLICT DO NOTHING"
    )
    op.bulk_insert(
        sa.table("api_keys", sa.column("key_name", sa.String), sa.column("key_value", sa.String)),
        [{"key_name": "internal", "key_value": "unset"}],
    )
