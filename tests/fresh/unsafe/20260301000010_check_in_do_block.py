"""UNSAFE. The DO block adds a CHECK that scans request_logs under ACCESS EXCLUSIVE."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000010"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    op.execute("""
        DO $do$
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'request_logs_status_ck') THEN
                ALTER TABLE request_logs
                    ADD CONSTRAINT request_logs_status_ck CHECK (response_status BETWEEN 100 AND 599);
            END IF;
        END
        $do$;
    """)
