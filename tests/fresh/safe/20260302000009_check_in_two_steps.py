"""SAFE. The check is committed before it is validated, and a second run begins with its removal."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000009"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "contract"
repeatable = True


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE request_logs DROP CONSTRAINT IF EXISTS retries_ck")
        op.execute("ALTER TABLE request_logs ADD CONSTRAINT retries_ck CHECK (retry_count >= 0) NOT VALID")
        op.execute("ALTER TABLE request_logs VALIDATE CONSTRAINT retries_ck")
