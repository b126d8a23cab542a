"""Add request log details request time.

Bodies are removed by their own age, also where no foreign key ties them to their log: a partitioned one can't have it.

The gateway writes a body within minutes of its request and doesn't know the column: its default is the moment of writing.
PostgreSQL evaluates such a default once, for the rows that are there: it is stored in the catalog and no row is
written, so the table is locked for a moment only. A column that is filled later would take two more locks of the
table, and a scan. Rows that are there count from the upgrade on, and are removed that much later.
Back: when the bodies were stored is lost. A table that is partitioned by the column keeps it.

Revision: 20260901090000
Parent:   20260801090001
"""

import sqlalchemy as sa
from alembic import op

revision = "20260901090000"
down_revision = "20260801090001"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.add_column(
        "request_log_details",
        sa.Column(
            "request_time",
            sa.DateTime(),
            server_default=op.dialect_text(postgresql="timezone('utc', CURRENT_TIMESTAMP)", sqlite="CURRENT_TIMESTAMP"),
            nullable=False,
            comment="When the row was made, UTC.",
        ),
    )


def downgrade() -> None:
    op.drop_column("request_log_details", "request_time")
