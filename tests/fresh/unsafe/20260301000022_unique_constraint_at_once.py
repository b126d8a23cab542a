"""UNSAFE. The index under the constraint is built under ACCESS EXCLUSIVE."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000022"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    op.create_unique_constraint("uq_request_logs_trace", "request_logs", ["trace_id"])
