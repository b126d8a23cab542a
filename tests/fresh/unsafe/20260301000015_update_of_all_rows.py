"""UNSAFE. One UPDATE of request_logs locks its rows to the end, and an interruption loses it."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000015"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "migrate"


def upgrade() -> None:
    op.execute("UPDATE request_logs SET request_protocol = 'openai' WHERE request_protocol IS NULL")
