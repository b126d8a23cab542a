"""SAFE. The column comes in the same ALTER, and NOT VALID reads no rows."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000038"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE request_logs ADD COLUMN tier smallint, ADD CONSTRAINT tier_ck CHECK (tier > 0) NOT VALID
    """)
