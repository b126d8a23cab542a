"""A column that is set is written over in every row."""

from alembic import op


def upgrade() -> None:
    op.execute("UPDATE users SET legacy = name")


def downgrade() -> None:
    pass
