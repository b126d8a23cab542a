"""SAFE. Each statement touches one row, found by a unique key."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000032"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "migrate"


def upgrade() -> None:
    op.execute("UPDATE service_providers SET base_url = 'https://api.example.org' WHERE name = 'example'")
    op.execute("DELETE FROM model_mappings WHERE requested_model = 'gone-1'")
