"""UNSAFE. REINDEX without CONCURRENTLY locks request_logs against writers, and each index against readers."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000027"
down_revision = "20260228000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("REINDEX TABLE public.request_logs")
