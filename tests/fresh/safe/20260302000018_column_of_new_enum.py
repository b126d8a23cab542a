"""SAFE. The type is new and the column nullable: the catalog changes only."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000018"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("CREATE TYPE log_level AS ENUM ('debug', 'error')")
    op.execute("ALTER TYPE log_level ADD VALUE IF NOT EXISTS 'fatal' AFTER 'error'")
    op.execute("ALTER TABLE request_logs ADD COLUMN level log_level")
