"""UNSAFE. Without a policy the released code, which isn't the owner, sees no rows any more."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000040"
down_revision = "20260228000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE request_logs ENABLE ROW LEVEL SECURITY")
