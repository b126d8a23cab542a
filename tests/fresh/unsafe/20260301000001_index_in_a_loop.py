"""UNSAFE. Each index is built under a SHARE lock: writers of request_logs wait for three scans."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000001"
down_revision = "20260228000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in ("trace_id", "request_path", "response_status"):
        op.create_index(f"idx_request_logs_{column}", "request_logs", [column])
