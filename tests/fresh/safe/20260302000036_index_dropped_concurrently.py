"""SAFE. Outside the transaction, and a second run passes over it."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000036"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY IF EXISTS public."idx_request_logs_time_status"')
