"""UNSAFE. The key is checked against all rows while writers of both tables wait."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000008"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    op.create_foreign_key(
        "service_audit_logs_user_id_fkey", "service_audit_logs", "users", ["user_id"], ["id"], ondelete="CASCADE"
    )
