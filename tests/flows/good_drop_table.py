"""A table without rows goes."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    op.drop_table("vacant")


def downgrade() -> None:
    op.create_table("vacant", sa.Column("id", sa.Integer, primary_key=True, autoincrement=False))
