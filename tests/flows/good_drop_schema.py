"""A schema goes that nothing is in."""

from alembic import op


def upgrade() -> None:
    op.execute("DROP SCHEMA attic CASCADE")


def downgrade() -> None:
    op.execute("CREATE SCHEMA attic")
