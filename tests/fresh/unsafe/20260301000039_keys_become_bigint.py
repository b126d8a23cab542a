"""UNSAFE. integer to bigint rewrites each table and its indexes under ACCESS EXCLUSIVE."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000039"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    for table in ("api_keys", "service_providers", "model_mapping_providers"):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN id SET DATA TYPE bigint")
