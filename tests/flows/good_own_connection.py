"""A savepoint of the connection that Alembic gives is used."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    with op.get_bind().begin_nested():
        op.get_bind().execute(sa.text("DELETE FROM archive WHERE id = 1"))


def downgrade() -> None:
    pass
