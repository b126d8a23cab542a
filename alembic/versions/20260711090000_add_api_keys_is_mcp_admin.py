"""Add API keys is MCP admin.

Some clients administer the gateway through MCP; every other client may not.
Back: the permissions are lost.

Revision: 20260711090000
Parent:   20260625090000
"""

import sqlalchemy as sa
from alembic import op

revision = "20260711090000"
down_revision = "20260625090000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.add_column(
        "api_keys",
        sa.Column(
            "is_mcp_admin",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether it may administer the gateway through MCP.",
        ),
    )


def downgrade() -> None:
    op.drop_column("api_keys", "is_mcp_admin")
