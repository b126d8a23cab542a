"""A table without rows is emptied."""

from alembic import op


def upgrade() -> None:
    op.execute("TRUNCATE vacant")


def downgrade() -> None:
    pass
