"""Every number fits the larger type."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    op.alter_column("users", "score", type_=sa.BigInteger, existing_type=sa.Integer)


def downgrade() -> None:
    op.alter_column("users", "score", type_=sa.Integer, existing_type=sa.BigInteger)
