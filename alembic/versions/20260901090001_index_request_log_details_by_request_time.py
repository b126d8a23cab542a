"""Index request log details by request time.

Removing what is older than a time reads the oldest rows first, and no others.

Revision: 20260901090001
Parent:   20260901090000
"""

from alembic import op

revision = "20260901090001"
down_revision = "20260901090000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.concurrently():
        op.create_index("idx_request_log_details_time", "request_log_details", ["request_time"], unique=False)


def downgrade() -> None:
    with op.concurrently():
        op.drop_index("idx_request_log_details_time", table_name="request_log_details")
