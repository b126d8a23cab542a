"""Add API keys key hash.

A keyed hash finds a client as the key itself does, and whoever reads the table can't present it.
The gateway goes on reading key_value. Hashes come with rows that the models write, and with schema secrets hash.
Back: the hashes are lost, and can be written again while key_value is there.

Revision: 20260801090000
Parent:   20260713090001
"""

import sqlalchemy as sa
from alembic import op

revision = "20260801090000"
down_revision = "20260713090001"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.add_column(
        "api_keys", sa.Column("key_hash", sa.Text(), nullable=True, comment="Keyed hash of the key (HMAC-SHA-256).")
    )


def downgrade() -> None:
    op.drop_column("api_keys", "key_hash")
