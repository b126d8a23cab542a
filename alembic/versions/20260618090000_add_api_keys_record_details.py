"""Add API keys record details.

A client may ask that bodies and headers of its requests aren't logged.
Back: the choices are lost; every client's details are logged again.

Revision: 20260618090000
Parent:   20260616090001
"""

import sqlalchemy as sa
from alembic import op

revision = "20260618090000"
down_revision = "20260616090001"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.add_column(
        "api_keys",
        sa.Column(
            "record_details",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="Whether bodies and headers of its requests are logged.",
        ),
    )


def downgrade() -> None:
    op.drop_column("api_keys", "record_details")
