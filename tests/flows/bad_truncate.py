"""A table with rows is emptied."""

from alembic import op


def upgrade() -> None:
    op.execute("TRUNCATE archive")


def downgrade() -> None:
    pass
