"""A foreign key to a table that lacks rows it is meant to refer to."""

from alembic import op


def upgrade() -> None:
    op.create_foreign_key("users_score_fkey", "users", "archive", ["score"], ["id"])


def downgrade() -> None:
    op.drop_constraint("users_score_fkey", "users", type_="foreignkey")
