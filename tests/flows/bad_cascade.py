"""A type goes, and a column of that type."""

from alembic import op


def upgrade() -> None:
    op.execute("DROP TYPE mood CASCADE")


def downgrade() -> None:
    op.execute("CREATE TYPE mood AS ENUM ('glad', 'sad')")
