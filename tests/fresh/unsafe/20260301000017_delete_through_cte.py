"""UNSAFE. The statement begins with WITH and deletes an unknown share of request_logs in one transaction."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000017"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "migrate"


def upgrade() -> None:
    op.execute("""
        WITH stale AS (SELECT id FROM request_logs WHERE request_time < now() - interval '90 days')
        DELETE FROM request_logs USING stale WHERE request_logs.id = stale.id
    """)
