"""UNSAFE. The released code leaves the column out of its INSERTs, and these fail without the default."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000029"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.alter_column(
        "request_logs", "retry_count", existing_type=sa.Integer(), server_default=None, existing_nullable=False
    )
