"""SAFE. A nullable column without a default changes the catalog only."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000001"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.add_column("request_logs", sa.Column("region", sa.String(20), nullable=True, comment="Where it was served."))
