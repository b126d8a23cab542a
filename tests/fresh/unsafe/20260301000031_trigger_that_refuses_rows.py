"""UNSAFE. The trigger refuses rows that the released code writes: trace_id is nullable."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000031"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("""
        CREATE FUNCTION require_trace() RETURNS trigger LANGUAGE plpgsql AS $fn$
        BEGIN
            IF NEW.trace_id IS NULL THEN
                RAISE EXCEPTION 'trace_id is required';
            END IF;
            RETURN NEW;
        END
        $fn$;
        CREATE TRIGGER request_logs_require_trace BEFORE INSERT ON request_logs
            FOR EACH ROW EXECUTE FUNCTION require_trace();
    """)
