"""UNSAFE. The released code still asks for api_keys."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000014"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.rename_table("api_keys", "client_keys")
