"""SAFE. The block adds the key NOT VALID and validates it in a transaction of its own."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000007"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    with op.concurrently():
        op.create_foreign_key("service_audit_logs_user_id_fkey", "service_audit_logs", "users", ["user_id"], ["id"])
