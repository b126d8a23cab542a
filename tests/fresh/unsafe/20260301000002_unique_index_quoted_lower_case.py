"""UNSAFE. A unique index without CONCURRENTLY: writers of users wait for the build."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000002"
down_revision = "20260228000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute('create unique index if not exists "users_refresh_key" on public."users" ("github_refresh_token")')
