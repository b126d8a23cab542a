"""A column with duplicates becomes unique."""

from alembic import op


def upgrade() -> None:
    op.create_unique_constraint("one_email", "users", ["email"])


def downgrade() -> None:
    op.drop_constraint("one_email", "users")
