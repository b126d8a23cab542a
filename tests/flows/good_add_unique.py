"""A column without duplicates becomes unique."""

from alembic import op


def upgrade() -> None:
    op.create_unique_constraint("one_name", "users", ["name"])


def downgrade() -> None:
    op.drop_constraint("one_name", "users")
