"""UNSAFE. The type changes with a USING expression: the table and five indexes are rewritten under ACCESS EXCLUSIVE."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000007"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    op.execute("ALTER TABLE request_logs ALTER request_time TYPE timestamptz USING request_time AT TIME ZONE 'UTC'")
