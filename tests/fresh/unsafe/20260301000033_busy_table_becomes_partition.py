"""UNSAFE. ATTACH PARTITION scans request_logs under ACCESS EXCLUSIVE, as no CHECK proves the bounds."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000033"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE all_logs (LIKE request_logs INCLUDING DEFAULTS) PARTITION BY RANGE (request_time);
        ALTER TABLE all_logs ATTACH PARTITION request_logs FOR VALUES FROM (MINVALUE) TO ('2026-04-01');
    """)
