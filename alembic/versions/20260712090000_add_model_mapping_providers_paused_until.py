"""Add model mapping providers paused until.

A provider that refuses requests for a while is passed over until then.
Back: the pauses are lost.

Revision: 20260712090000
Parent:   20260711090000
"""

import sqlalchemy as sa
from alembic import op

revision = "20260712090000"
down_revision = "20260711090000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.add_column(
        "model_mapping_providers",
        sa.Column("paused_until", sa.DateTime(), nullable=True, comment="Until when no request is sent there, UTC."),
    )


def downgrade() -> None:
    op.drop_column("model_mapping_providers", "paused_until")
