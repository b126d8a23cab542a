"""SAFE. Each page is committed in the block, outside a transaction, and a second run goes on where the first stopped."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000039"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "migrate"
repeatable = True


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("""
            DO $$
            BEGIN
                LOOP
                    UPDATE request_logs SET request_protocol = 'openai'
                    WHERE id IN (SELECT id FROM request_logs WHERE request_protocol IS NULL LIMIT 2000);
                    EXIT WHEN NOT FOUND;
                    COMMIT;
                END LOOP;
            END $$
        """)
