"""SAFE. Both take SHARE UPDATE EXCLUSIVE: readers and writers go on."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000034"
down_revision = "20260228000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE request_logs SET (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 90)")
    op.execute("ALTER TABLE request_logs ALTER COLUMN requested_model SET STATISTICS 500")
