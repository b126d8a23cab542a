"""Add service providers response timeout seconds.

Reasoning models answer late, and a provider that hangs must not hold a connection for ever.
Back: the limits are lost.

Revision: 20260625090000
Parent:   20260618090000
"""

import sqlalchemy as sa
from alembic import op

revision = "20260625090000"
down_revision = "20260618090000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.add_column(
        "service_providers",
        sa.Column(
            "response_timeout_seconds",
            sa.Integer(),
            server_default=sa.text("1800"),
            nullable=False,
            comment="Seconds that a response may take.",
        ),
    )


def downgrade() -> None:
    op.drop_column("service_providers", "response_timeout_seconds")
