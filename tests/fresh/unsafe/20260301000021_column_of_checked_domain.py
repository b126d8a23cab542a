"""UNSAFE. A domain with a CHECK makes ADD COLUMN rewrite users, though the column is nullable."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000021"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("CREATE DOMAIN email_address AS text CHECK (VALUE ~ '^[^@]+@[^@]+$')")
    op.execute("ALTER TABLE users ADD COLUMN email email_address")
