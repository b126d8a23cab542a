"""UNSAFE. A shorter varchar rewrites the table, and a value that is too long ends it."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000006"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    op.alter_column(
        "request_logs", "trace_id", type_=sa.String(64), existing_type=sa.String(100), existing_nullable=True
    )
