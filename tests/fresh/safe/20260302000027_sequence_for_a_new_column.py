"""SAFE. The column comes without a default, so no row is written; rows from then on have a number."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000027"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("CREATE SEQUENCE IF NOT EXISTS audit_number_seq AS bigint CACHE 50")
    op.execute("ALTER TABLE service_audit_logs ADD COLUMN number bigint")
    op.execute("ALTER TABLE service_audit_logs ALTER COLUMN number SET DEFAULT nextval('audit_number_seq')")
    op.execute("ALTER SEQUENCE audit_number_seq OWNED BY service_audit_logs.number")
