"""UNSAFE. Both statements run in one transaction: the lock of the first is held while the second scans request_logs."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000009"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    op.execute("ALTER TABLE request_logs ADD CONSTRAINT retries_ck CHECK (retry_count >= 0) NOT VALID")
    op.execute("ALTER TABLE request_logs VALIDATE CONSTRAINT retries_ck")
