"""Index request logs by completion and time.

Lists show requests in progress first, and the gateway looks for unfinished ones at its start.

Revision: 20260713090001
Parent:   20260713090000
"""

from alembic import op

revision = "20260713090001"
down_revision = "20260713090000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.concurrently():
        op.create_index(
            "idx_request_logs_completed_time", "request_logs", ["is_completed", "request_time"], unique=False
        )


def downgrade() -> None:
    with op.concurrently():
        op.drop_index("idx_request_logs_completed_time", table_name="request_logs")
