"""Add request logs request URL.

The path alone doesn't say which host name and query a client used.
Back: the URLs are lost.

Revision: 20260320090000
Parent:   20260301090400
"""

import sqlalchemy as sa
from alembic import op

revision = "20260320090000"
down_revision = "20260301090400"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.add_column(
        "request_logs",
        sa.Column("request_url", sa.String(length=1000), nullable=True, comment="URL of the client's request."),
    )


def downgrade() -> None:
    op.drop_column("request_logs", "request_url")
