"""SAFE. The limit is made shorter for this transaction."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000035"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '1s'")
    op.execute("ALTER TABLE users ADD COLUMN nick text")
