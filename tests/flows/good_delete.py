"""Some rows are deleted."""

from alembic import op


def upgrade() -> None:
    op.execute("DELETE FROM archive WHERE id = 1")


def downgrade() -> None:
    pass
