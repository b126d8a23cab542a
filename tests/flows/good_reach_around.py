"""The connection that Alembic gives is used."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    op.get_bind().execute(sa.text("DELETE FROM archive WHERE id = :id"), {"id": 1})


def downgrade() -> None:
    pass
