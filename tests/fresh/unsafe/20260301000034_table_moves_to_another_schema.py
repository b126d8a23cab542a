"""UNSAFE. Code that runs finds no users in its search path."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000034"
down_revision = "20260228000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS auth")
    op.execute("ALTER TABLE users SET SCHEMA auth")
