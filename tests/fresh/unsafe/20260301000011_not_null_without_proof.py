"""UNSAFE. SET NOT NULL reads all of request_logs under ACCESS EXCLUSIVE."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000011"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    op.execute("ALTER TABLE ONLY public.request_logs ALTER COLUMN requested_model SET NOT NULL")
