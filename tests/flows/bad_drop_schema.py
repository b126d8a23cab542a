"""A schema goes, and a table in it."""

from alembic import op


def upgrade() -> None:
    op.execute("DROP SCHEMA warehouse CASCADE")


def downgrade() -> None:
    op.execute("CREATE SCHEMA warehouse")
