"""UNSAFE. Code that runs names the old column in every INSERT."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000013"
down_revision = "20260228000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table if exists request_logs rename api_key_name to client_name")
