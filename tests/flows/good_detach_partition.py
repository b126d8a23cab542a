"""A partition without rows is detached, and attached by the downgrade."""

from alembic import op


def upgrade() -> None:
    op.execute("ALTER TABLE events DETACH PARTITION events_2")


def downgrade() -> None:
    op.execute("ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM (10) TO (20)")
