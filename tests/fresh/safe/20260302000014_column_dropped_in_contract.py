"""SAFE. The new code runs everywhere when this does."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000014"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    op.execute("ALTER TABLE users DROP COLUMN IF EXISTS github_refresh_token")
