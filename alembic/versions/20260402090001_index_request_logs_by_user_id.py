"""Index request logs by user id.

Lists of one user's requests read these, of all times and of a span.

Revision: 20260402090001
Parent:   20260402090000
"""

from alembic import op

revision = "20260402090001"
down_revision = "20260402090000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.concurrently():
        op.create_index("idx_request_logs_time_user_id", "request_logs", ["request_time", "user_id"], unique=False)
        op.create_index("idx_request_logs_user_id", "request_logs", ["user_id"], unique=False)


def downgrade() -> None:
    with op.concurrently():
        op.drop_index("idx_request_logs_user_id", table_name="request_logs")
        op.drop_index("idx_request_logs_time_user_id", table_name="request_logs")
