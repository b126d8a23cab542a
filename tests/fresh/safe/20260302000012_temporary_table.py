"""SAFE. All of it happens in a table that no other session sees."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000012"
down_revision = "20260228000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TEMPORARY TABLE chosen (id integer, name text) ON COMMIT DROP")
    op.execute("INSERT INTO chosen VALUES (1, 'a'), (2, 'b')")
    op.execute("CREATE INDEX ON chosen (name)")
    op.execute("UPDATE chosen SET name = upper(name)")
    op.execute("ALTER TABLE chosen ALTER COLUMN id TYPE bigint, ALTER COLUMN name SET NOT NULL")
