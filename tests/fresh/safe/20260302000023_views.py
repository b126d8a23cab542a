"""SAFE. A view takes no lock that readers or writers notice, and this materialized one reads nothing."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000023"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("CREATE OR REPLACE VIEW failed_requests AS SELECT * FROM request_logs WHERE response_status >= 500")
    op.execute("""
        CREATE MATERIALIZED VIEW IF NOT EXISTS cost_by_model AS
        SELECT requested_model, sum(total_cost) AS cost FROM request_logs GROUP BY requested_model
        WITH NO DATA
    """)
