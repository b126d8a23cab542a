"""SAFE. What is no longer refused doesn't hurt the released code."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000030"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("ALTER TABLE request_logs DROP CONSTRAINT IF EXISTS request_logs_api_key_id_fkey")
