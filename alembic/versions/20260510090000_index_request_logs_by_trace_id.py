"""Index request logs by trace id.

The gateway groups the requests of one trace, in the order of their ids.

Revision: 20260510090000
Parent:   20260425090000
"""

from alembic import op

revision = "20260510090000"
down_revision = "20260425090000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.concurrently():
        op.create_index("idx_request_logs_trace_id_id", "request_logs", ["trace_id", "id"], unique=False)


def downgrade() -> None:
    with op.concurrently():
        op.drop_index("idx_request_logs_trace_id_id", table_name="request_logs")
