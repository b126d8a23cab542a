"""A CHECK that rows of the table do not meet."""

from alembic import op


def upgrade() -> None:
    op.create_check_constraint("users_score_check", "users", "score < 8")


def downgrade() -> None:
    op.drop_constraint("users_score_check", "users", type_="check")
