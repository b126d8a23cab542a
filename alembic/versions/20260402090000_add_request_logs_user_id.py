"""Add request logs user id.

Several users share one client key; their requests are told apart by the user that each request names.
Back: the users are lost.

Revision: 20260402090000
Parent:   20260320090000
"""

import sqlalchemy as sa
from alembic import op

revision = "20260402090000"
down_revision = "20260320090000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.add_column(
        "request_logs",
        sa.Column(
            "user_id", sa.String(length=255), nullable=True, comment="The client's own user, as the request named it."
        ),
    )


def downgrade() -> None:
    op.drop_column("request_logs", "user_id")
