"""Rows are deleted, and others with them, ON DELETE CASCADE."""

from alembic import op


def upgrade() -> None:
    op.execute("DELETE FROM teams WHERE id = 1")


def downgrade() -> None:
    pass
