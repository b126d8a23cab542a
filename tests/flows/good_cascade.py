"""A type goes that no column has."""

from alembic import op


def upgrade() -> None:
    op.execute("DROP TYPE colour CASCADE")


def downgrade() -> None:
    op.execute("CREATE TYPE colour AS ENUM ('red')")
