"""Add request logs is completed.

A log is inserted while its request is in progress, and updated when the request is done.

Rows that are there count as done.
Back: which requests were in progress is lost.

Revision: 20260713090000
Parent:   20260712090000
"""

import sqlalchemy as sa
from alembic import op

revision = "20260713090000"
down_revision = "20260712090000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.add_column(
        "request_logs",
        sa.Column(
            "is_completed",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="False while the request is in progress.",
        ),
    )


def downgrade() -> None:
    op.drop_column("request_logs", "is_completed")
