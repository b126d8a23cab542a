"""A column without duplicates gets a unique index."""

from alembic import op


def upgrade() -> None:
    op.create_index("one_name", "users", ["name"], unique=True)


def downgrade() -> None:
    op.drop_index("one_name", "users")
