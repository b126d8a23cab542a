"""UNSAFE. CREATE INDEX CONCURRENTLY is refused in a transaction: the upgrade ends here."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000019"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.create_index("idx_request_logs_trace", "request_logs", ["trace_id"], postgresql_concurrently=True)
