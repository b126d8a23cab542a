"""A column that is set goes."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    op.drop_column("users", "legacy")


def downgrade() -> None:
    op.add_column("users", sa.Column("legacy", sa.Text))
