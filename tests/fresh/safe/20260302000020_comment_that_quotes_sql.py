"""SAFE. The dangerous words stand in comments and literals."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000020"
down_revision = "20260228000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        -- CREATE INDEX idx ON request_logs (trace_id);
        COMMENT ON TABLE request_logs IS 'Formerly: ALTER TABLE request_logs ALTER id TYPE bigint; DROP TABLE users;';
        /* UPDATE request_logs SET trace_id = NULL; */
        COMMENT ON COLUMN request_logs.trace_id IS $c$DELETE FROM request_logs; it's a joke$c$
    """)
