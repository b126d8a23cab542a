"""UNSAFE. VACUUM FULL writes the table anew under ACCESS EXCLUSIVE."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000026"
down_revision = "20260228000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("VACUUM (FULL, ANALYZE) request_logs")
