"""Texts become numbers, and not all of them are."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    op.alter_column("users", "legacy", type_=sa.Integer, existing_type=sa.Text, postgresql_using="legacy::integer")


def downgrade() -> None:
    op.alter_column("users", "legacy", type_=sa.Text, existing_type=sa.Integer)
