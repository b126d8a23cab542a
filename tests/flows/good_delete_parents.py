"""Rows are deleted that are nobody's parents."""

from alembic import op


def upgrade() -> None:
    op.execute("DELETE FROM clubs WHERE id = 1")


def downgrade() -> None:
    pass
