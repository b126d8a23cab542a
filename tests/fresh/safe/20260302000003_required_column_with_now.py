"""SAFE. now() is stable: it is evaluated once, and no row is written."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000003"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("ALTER TABLE users ADD COLUMN seen_at timestamptz NOT NULL DEFAULT now()")
