"""SAFE. A constant default is kept in the catalog, and fills the rows of the released code."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000002"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE IF EXISTS public."request_logs"
            ADD COLUMN IF NOT EXISTS region varchar(20) NOT NULL DEFAULT 'eu',
            ADD COLUMN IF NOT EXISTS attempts smallint DEFAULT 1
    """)
