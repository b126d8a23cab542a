"""SAFE. A nullable column with its reference in one statement is valid at once, and no row is read."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000037"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE users
        ADD COLUMN registry_id uuid CONSTRAINT users_registry_id_fkey REFERENCES service_registry (id)
    """)
