"""A column with duplicates gets a unique index."""

from alembic import op


def upgrade() -> None:
    op.create_index("one_email", "users", ["email"], unique=True)


def downgrade() -> None:
    op.drop_index("one_email", "users")
