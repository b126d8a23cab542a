"""A block whose SQL is put together while it runs."""

from alembic import op


def upgrade() -> None:
    op.execute("DO $$ BEGIN EXECUTE 'DROP TABLE archive'; END $$")


def downgrade() -> None:
    pass
