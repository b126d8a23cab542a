"""What refers to nothing is put in order, and the foreign key comes after."""

from alembic import op


def upgrade() -> None:
    op.execute("UPDATE users SET score = NULL WHERE score > 2")
    op.create_foreign_key("users_score_fkey", "users", "archive", ["score"], ["id"])


def downgrade() -> None:
    op.drop_constraint("users_score_fkey", "users", type_="foreignkey")
