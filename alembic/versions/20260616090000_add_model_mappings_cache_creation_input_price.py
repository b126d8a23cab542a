"""Add model mappings cache creation input price.

Providers bill the tokens that make a cache entry at a price of their own.
Back: the prices are lost.

Revision: 20260616090000
Parent:   20260510090000
"""

import sqlalchemy as sa
from alembic import op

revision = "20260616090000"
down_revision = "20260510090000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.add_column(
        "model_mappings",
        sa.Column(
            "cache_creation_input_price",
            sa.Numeric(precision=12, scale=4),
            nullable=True,
            comment="USD per 1,000,000 input tokens that make a cache entry.",
        ),
    )


def downgrade() -> None:
    op.drop_column("model_mappings", "cache_creation_input_price")
