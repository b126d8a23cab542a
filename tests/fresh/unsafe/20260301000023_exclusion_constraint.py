"""UNSAFE. An exclusion constraint is always built under ACCESS EXCLUSIVE."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000023"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
    op.create_exclude_constraint(
        "request_logs_once", "request_logs", ("trace_id", "="), ("request_time", "="), using="gist"
    )
