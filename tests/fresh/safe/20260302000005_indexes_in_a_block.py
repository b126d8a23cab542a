"""SAFE. The block builds each index CONCURRENTLY and passes over those that are there."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000005"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.concurrently():
        for column in ("request_path", "provider_name"):
            op.create_index(f"idx_request_logs_{column}", "request_logs", [column])
