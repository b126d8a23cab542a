"""A partition with rows is detached: the application loses them."""

from alembic import op


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE events DETACH PARTITION events_1 CONCURRENTLY")


def downgrade() -> None:
    pass
