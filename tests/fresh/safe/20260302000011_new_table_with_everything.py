"""SAFE. The table is empty, so its keys and indexes are made at once; users is locked for a moment."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000011"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("users.id", name="sessions_user_id_fkey"), nullable=False),
        sa.Column("token", sa.Text(), nullable=False, unique=True),
        sa.CheckConstraint("token <> ''", name="sessions_token_ck"),
    )
    op.create_index("sessions_user_id_idx", "sessions", ["user_id"])
    op.create_unique_constraint("sessions_user_token_key", "sessions", ["user_id", "token"])
