"""SAFE. Parent and partitions are new and empty."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000031"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("CREATE TABLE events (id bigint, at timestamp NOT NULL) PARTITION BY RANGE (at)")
    for month in range(1, 4):
        op.execute(
            f"CREATE TABLE events_2026_{month:02} PARTITION OF events "
            f"FOR VALUES FROM ('2026-{month:02}-01') TO ('2026-{month + 1:02}-01')"
        )
    op.execute("CREATE TABLE events_2026_04 (LIKE events INCLUDING ALL)")
    op.execute("ALTER TABLE events ATTACH PARTITION events_2026_04 FOR VALUES FROM ('2026-04-01') TO ('2026-05-01')")
    op.execute("CREATE INDEX events_at_idx ON events (at)")
