"""Names are longer than the new type."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    op.alter_column("users", "name", type_=sa.String(4), existing_type=sa.String(50))


def downgrade() -> None:
    op.alter_column("users", "name", type_=sa.String(50), existing_type=sa.String(4))
