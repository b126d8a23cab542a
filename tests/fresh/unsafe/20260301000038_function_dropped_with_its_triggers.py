"""UNSAFE. CASCADE takes the triggers that keep updated_at, on two tables that are in use."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000038"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS update_updated_at_column() CASCADE")
