"""Add key value store.

Several processes of the gateway share values that expire; the index serves their removal.
Back: the values are lost.

Revision: 20260301090300
Parent:   20260301090200
"""

import sqlalchemy as sa
from alembic import op

revision = "20260301090300"
down_revision = "20260301090200"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "key_value_store",
        sa.Column("key", sa.String(length=255), nullable=False, comment="Name of the value."),
        sa.Column("value", sa.Text(), nullable=False, comment="The value, as the gateway wrote it."),
        sa.Column(
            "expires_at", sa.DateTime(), nullable=True, comment="When it may be removed, UTC; never if it is NULL."
        ),
        sa.Column(
            "created_at",
            sa.DateTime(),
            server_default=op.dialect_text(postgresql="timezone('utc', CURRENT_TIMESTAMP)", sqlite="CURRENT_TIMESTAMP"),
            nullable=False,
            comment="When the row was made, UTC.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(),
            server_default=op.dialect_text(postgresql="timezone('utc', CURRENT_TIMESTAMP)", sqlite="CURRENT_TIMESTAMP"),
            nullable=False,
            comment="When the row was last changed, UTC.",
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("key_value_store_pkey")),
        comment="Values that the gateway keeps between requests.",
    )
    op.create_index("idx_kv_expires_at", "key_value_store", ["expires_at"], unique=False)


def downgrade() -> None:
    op.drop_index("idx_kv_expires_at", table_name="key_value_store")
    op.drop_table("key_value_store")
