"""SAFE. A domain without constraints and default costs no rewrite."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000019"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("CREATE DOMAIN short_code AS varchar(12)")
    op.execute("ALTER TABLE users ADD COLUMN code short_code")
