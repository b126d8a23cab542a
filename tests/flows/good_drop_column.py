"""A column that is set nowhere goes."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    op.drop_column("users", "unused")


def downgrade() -> None:
    op.add_column("users", sa.Column("unused", sa.Text))
