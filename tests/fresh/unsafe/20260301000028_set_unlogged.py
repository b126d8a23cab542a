"""UNSAFE. SET UNLOGGED writes the table anew under ACCESS EXCLUSIVE, and a crash empties it from then on."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000028"
down_revision = "20260228000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE service_audit_logs SET UNLOGGED")
