"""SAFE. fill_column goes through the table page by page."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000022"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "migrate"


def upgrade() -> None:
    op.fill_column("request_logs", "request_protocol", "'openai'")
