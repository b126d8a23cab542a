"""Add service providers provider options.

Options that only one provider knows.

Revision: 20260131000000
Parent:   20260123000000
"""

import sqlalchemy as sa
from alembic import op

revision = "20260131000000"
down_revision = "20260123000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "service_providers",
        sa.Column("provider_options", sa.JSON(none_as_null=True), nullable=True, comment="Provider-specific options."),
    )


def downgrade() -> None:
    op.drop_column("service_providers", "provider_options")
