"""UNSAFE. The released code still reads the column, and this runs before its successor."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000012"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.drop_column("users", "github_refresh_token")
