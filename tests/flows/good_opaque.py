"""A block whose SQL can be read."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    op.execute("DO $$ BEGIN DROP TABLE vacant; END $$")


def downgrade() -> None:
    op.create_table("vacant", sa.Column("id", sa.Integer, primary_key=True, autoincrement=False))
