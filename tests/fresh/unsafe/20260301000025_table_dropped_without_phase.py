"""UNSAFE. Code that runs still asks for the table."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000025"
down_revision = "20260228000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("model_mapping_providers")
