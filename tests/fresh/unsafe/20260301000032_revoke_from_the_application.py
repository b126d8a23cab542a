"""UNSAFE. The released code loses the right to write the table."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000032"
down_revision = "20260228000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("REVOKE INSERT, UPDATE ON TABLE request_logs FROM PUBLIC")
