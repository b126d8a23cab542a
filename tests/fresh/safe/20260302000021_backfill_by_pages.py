"""SAFE. The rows change page by page, and a killed run goes on."""

import sqlalchemy as sa
from alembic import op

from app.revision_api import Backfill

revision = "20260302000021"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "migrate"

LOWER = Backfill("request_logs", ("request_method",), str.upper, todo="request_method <> upper(request_method)")


def verify(connection: sa.Connection) -> int:
    """Counts the rows still to do."""
    return LOWER.verify(connection)


def upgrade() -> None:
    LOWER.upgrade()
