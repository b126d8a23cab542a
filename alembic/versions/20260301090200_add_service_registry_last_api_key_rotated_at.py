"""Add service registry last API key rotated at.

An old API key of a downstream service is noticed only if its age is stored.
Back: the times are lost.

Revision: 20260301090200
Parent:   20260301090100
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20260301090200"
down_revision = "20260301090100"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.add_column(
        "service_registry",
        sa.Column(
            "last_api_key_rotated_at",
            sa.DateTime(timezone=True).with_variant(postgresql.TIMESTAMP(timezone=True, precision=6), "postgresql"),
            nullable=True,
            comment="When its API key was last replaced.",
        ),
    )


def downgrade() -> None:
    op.drop_column("service_registry", "last_api_key_rotated_at")
