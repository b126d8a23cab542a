"""UNSAFE. The lock of ADD COLUMN on users is held while all of request_logs is summed up."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000037"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.add_column("users", sa.Column("first_seen", sa.DateTime(), nullable=True))
    op.execute("""
        CREATE TABLE usage_by_day AS
        SELECT date_trunc('day', request_time) AS day, sum(total_cost) AS cost FROM request_logs GROUP BY 1
    """)
