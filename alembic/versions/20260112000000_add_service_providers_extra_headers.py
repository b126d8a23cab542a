"""Add service providers extra headers.

Some providers want headers of their own.

Revision: 20260112000000
Parent:   20260111000000
"""

import sqlalchemy as sa
from alembic import op

revision = "20260112000000"
down_revision = "20260111000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "service_providers",
        sa.Column(
            "extra_headers", sa.JSON(none_as_null=True), nullable=True, comment="Extra HTTP headers for this provider."
        ),
    )


def downgrade() -> None:
    op.drop_column("service_providers", "extra_headers")
