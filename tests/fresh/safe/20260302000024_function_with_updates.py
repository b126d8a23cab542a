"""SAFE. The body is stored, not run."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000024"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("""
        CREATE OR REPLACE FUNCTION forget_bodies(before timestamp) RETURNS bigint LANGUAGE sql AS $$
            WITH gone AS (
                UPDATE request_logs SET request_body = NULL, response_body = NULL
                WHERE request_time < before RETURNING id
            )
            SELECT count(*) FROM gone
        $$
    """)
