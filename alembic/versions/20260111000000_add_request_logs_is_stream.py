"""Add request logs is stream.

Streamed responses are billed and timed differently.

Revision: 20260111000000
Parent:   20260110000000
"""

import sqlalchemy as sa
from alembic import op

revision = "20260111000000"
down_revision = "20260110000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "request_logs",
        sa.Column(
            "is_stream",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether it was a stream request.",
        ),
    )


def downgrade() -> None:
    op.drop_column("request_logs", "is_stream")
