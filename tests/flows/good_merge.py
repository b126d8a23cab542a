"""Rows are added, and none changed."""

from alembic import op


def upgrade() -> None:
    op.execute("INSERT INTO vacant SELECT id FROM users ON CONFLICT DO NOTHING")


def downgrade() -> None:
    op.execute("DELETE FROM vacant WHERE id IN (SELECT id FROM users)")
