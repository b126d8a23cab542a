"""UNSAFE. A stored generated column is computed for each row: request_logs is rewritten."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000005"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.add_column(
        "request_logs",
        sa.Column("total_tokens", sa.Integer(), sa.Computed("input_tokens + output_tokens", persisted=True)),
    )
