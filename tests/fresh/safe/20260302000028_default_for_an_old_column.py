"""SAFE. A default concerns rows to come."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000028"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.alter_column("request_logs", "request_protocol", existing_type=sa.String(50), server_default="openai")
