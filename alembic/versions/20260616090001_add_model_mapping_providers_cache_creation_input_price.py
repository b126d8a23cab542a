"""Add model mapping providers cache creation input price.

A provider's prices override the mapping's, this one too.
Back: the prices are lost.

Revision: 20260616090001
Parent:   20260616090000
"""

import sqlalchemy as sa
from alembic import op

revision = "20260616090001"
down_revision = "20260616090000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.add_column(
        "model_mapping_providers",
        sa.Column(
            "cache_creation_input_price",
            sa.Numeric(precision=12, scale=4),
            nullable=True,
            comment="USD per 1,000,000 input tokens that make a cache entry.",
        ),
    )


def downgrade() -> None:
    op.drop_column("model_mapping_providers", "cache_creation_input_price")
