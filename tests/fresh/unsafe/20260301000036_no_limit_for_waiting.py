"""UNSAFE. Without a limit the ALTER waits behind any long query, and everything else waits behind the ALTER."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000036"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("SET lock_timeout = 0")
    op.add_column("request_logs", sa.Column("region", sa.String(20), nullable=True))
