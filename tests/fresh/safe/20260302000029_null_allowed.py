"""SAFE. DROP NOT NULL changes the catalog only, and refuses nothing that was accepted."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000029"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.alter_column("service_providers", "base_url", existing_type=sa.String(500), nullable=True)
