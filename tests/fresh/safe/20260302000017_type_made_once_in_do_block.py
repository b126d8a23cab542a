"""SAFE. The block makes a type, and passes over one that is there."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000017"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("""
        DO $$ BEGIN
            CREATE TYPE gateway_role AS ENUM ('reader', 'writer');
        EXCEPTION WHEN duplicate_object THEN NULL;
        END $$;
    """)
