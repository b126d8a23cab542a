"""SAFE. A killed build leaves an invalid index, which the first statement takes away."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000004"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS idx_request_logs_trace")
        op.execute("CREATE INDEX CONCURRENTLY idx_request_logs_trace ON request_logs USING btree (trace_id)")
