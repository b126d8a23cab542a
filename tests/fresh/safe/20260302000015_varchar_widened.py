"""SAFE. A longer varchar, and text, keep the rows as they are; no index or CHECK has these columns."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000015"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE "request_logs"
            ALTER COLUMN "trace_id" SET DATA TYPE character varying(200),
            ALTER COLUMN upstream_url TYPE text
    """)
