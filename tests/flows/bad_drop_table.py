"""A table with rows goes."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    op.drop_table("archive")


def downgrade() -> None:
    op.create_table("archive", sa.Column("id", sa.Integer, primary_key=True, autoincrement=False))
