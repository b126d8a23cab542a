"""SAFE. NOT VALID reads no rows; user_id has an index."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000008"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE "service_audit_logs"
            ADD CONSTRAINT "service_audit_logs_user_id_fkey"
            FOREIGN KEY ("user_id") REFERENCES "public"."users" ("id") ON DELETE CASCADE NOT VALID
    """)
