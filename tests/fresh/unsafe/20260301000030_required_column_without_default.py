"""UNSAFE. The ADD COLUMN fails on the first row, and INSERTs of the released code would fail too."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000030"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.add_column("users", sa.Column("email", sa.Text(), nullable=False, comment="Address of the account."))
