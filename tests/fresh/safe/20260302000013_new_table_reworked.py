"""SAFE. Whatever happens to a table that was made a moment ago makes no one wait."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000013"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("CREATE TABLE IF NOT EXISTS public.price_lists (id int, price text)")
    op.execute("INSERT INTO price_lists (id, price) SELECT n, (n * 2)::text FROM generate_series(1, 100) AS n")
    op.execute("UPDATE price_lists SET price = '0' WHERE price IS NULL")
    op.execute('alter table "price_lists" alter price type numeric(12, 4) using price::numeric, add primary key (id)')
    op.rename_table("price_lists", "price_list_items")
