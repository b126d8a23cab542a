"""UNSAFE. The loop rewrites every table that has created_at, under ACCESS EXCLUSIVE, in one transaction."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000035"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    op.execute("""
        DO $$
        DECLARE r record;
        BEGIN
            FOR r IN SELECT table_name FROM information_schema.columns
                     WHERE table_schema = 'public' AND column_name = 'created_at' LOOP
                EXECUTE format('ALTER TABLE %I ALTER COLUMN created_at TYPE timestamptz', r.table_name);
            END LOOP;
        END $$
    """)
