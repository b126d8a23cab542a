"""A column that is set nowhere is filled in every row."""

from alembic import op


def upgrade() -> None:
    op.execute("UPDATE users SET unused = name")


def downgrade() -> None:
    op.execute("UPDATE users SET unused = NULL WHERE unused = name")
