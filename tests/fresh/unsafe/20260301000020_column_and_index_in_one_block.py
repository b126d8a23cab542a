"""UNSAFE. Outside a transaction the column stays when the index fails, and the next run stops at the column."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000020"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.add_column("request_logs", sa.Column("region", sa.String(20), nullable=True))
        op.create_index("idx_request_logs_region", "request_logs", ["region"], postgresql_concurrently=True)
