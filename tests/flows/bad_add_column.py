"""A column that must be filled, and nothing fills it."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    op.add_column("users", sa.Column("region", sa.Text, nullable=False))


def downgrade() -> None:
    op.drop_column("users", "region")
