"""UNSAFE. The lock keeps writers of request_logs out while all of it is copied."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000018"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "migrate"


def upgrade() -> None:
    op.create_table("request_logs_old", sa.Column("id", sa.BigInteger(), nullable=False), sa.Column("body", sa.Text()))
    op.execute("LOCK TABLE request_logs IN SHARE MODE")
    op.execute("INSERT INTO request_logs_old (id, body) SELECT id, response_body FROM request_logs")
