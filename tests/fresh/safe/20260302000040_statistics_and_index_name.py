"""SAFE. Extended statistics, ANALYZE and a new name for an index take locks that don't concern readers and writers."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000040"
down_revision = "20260228000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE STATISTICS IF NOT EXISTS request_logs_model_stats ON requested_model, provider_id FROM request_logs"
    )
    op.execute("ALTER INDEX idx_request_logs_model RENAME TO request_logs_requested_model_idx")
    op.execute("ANALYZE request_logs (requested_model, provider_id)")
