"""MERGE can do anything to any row."""

from alembic import op


def upgrade() -> None:
    op.execute("MERGE INTO archive USING users ON archive.id = users.id WHEN MATCHED THEN DELETE")


def downgrade() -> None:
    pass
