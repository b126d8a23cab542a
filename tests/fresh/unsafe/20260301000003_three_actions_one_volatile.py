"""UNSAFE. The second of three actions has a default that differs in each row: request_logs is rewritten under ACCESS EXCLUSIVE."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000003"
down_revision = "20260228000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE public.request_logs
            ADD COLUMN region text,
            ADD COLUMN shard uuid NOT NULL DEFAULT gen_random_uuid(),
            ALTER COLUMN error_info SET STORAGE EXTENDED
    """)
