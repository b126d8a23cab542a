"""A CHECK that all rows meet, or for which they hold NULL."""

from alembic import op


def upgrade() -> None:
    op.create_check_constraint("users_score_check", "users", "score < 9")


def downgrade() -> None:
    op.drop_constraint("users_score_check", "users", type_="check")
