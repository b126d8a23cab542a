"""Rows are deleted, and nothing says which."""

from alembic import op


def upgrade() -> None:
    op.execute("DELETE FROM archive")


def downgrade() -> None:
    pass
