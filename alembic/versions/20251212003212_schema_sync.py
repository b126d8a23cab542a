"""Schema sync.

Ids and updated_at come from the application, and nobody searches by the two indexes.

Revision: 20251212003212
Parent:   20251212003115
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20251212003212"
down_revision = "20251212003115"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column(
        "service_audit_logs",
        "id",
        existing_type=sa.Uuid(),
        server_default=None,
        existing_server_default=op.dialect_text(postgresql="gen_random_uuid()", sqlite="(lower(hex(randomblob(16))))"),
        existing_comment="Key of the row, made by the application.",
        existing_nullable=False,
    )
    op.alter_column(
        "service_registry",
        "id",
        existing_type=sa.Uuid(),
        server_default=None,
        existing_server_default=op.dialect_text(postgresql="gen_random_uuid()", sqlite="(lower(hex(randomblob(16))))"),
        existing_comment="Key of the row, made by the application.",
        existing_nullable=False,
    )
    op.alter_column(
        "service_registry",
        "updated_at",
        existing_type=sa.DateTime(timezone=True).with_variant(
            postgresql.TIMESTAMP(timezone=True, precision=6), "postgresql"
        ),
        server_default=None,
        existing_server_default=sa.text("CURRENT_TIMESTAMP"),
        existing_comment="When the row was last changed, kept by a trigger.",
        existing_nullable=False,
    )
    op.alter_column(
        "users",
        "id",
        existing_type=sa.Uuid(),
        server_default=None,
        existing_server_default=op.dialect_text(postgresql="gen_random_uuid()", sqlite="(lower(hex(randomblob(16))))"),
        existing_comment="Key of the row, made by the application.",
        existing_nullable=False,
    )
    op.alter_column(
        "users",
        "updated_at",
        existing_type=sa.DateTime(timezone=True).with_variant(
            postgresql.TIMESTAMP(timezone=True, precision=6), "postgresql"
        ),
        server_default=None,
        existing_server_default=sa.text("CURRENT_TIMESTAMP"),
        existing_comment="When the row was last changed, kept by a trigger.",
        existing_nullable=False,
    )
    op.drop_index("users_created_at_idx", table_name="users")
    op.drop_index("users_is_whitelisted_idx", table_name="users")


def downgrade() -> None:
    op.create_index("users_is_whitelisted_idx", "users", ["is_whitelisted"], unique=False)
    op.create_index("users_created_at_idx", "users", ["created_at"], unique=False)
    op.alter_column(
        "users",
        "updated_at",
        existing_type=sa.DateTime(timezone=True).with_variant(
            postgresql.TIMESTAMP(timezone=True, precision=6), "postgresql"
        ),
        server_default=sa.text("CURRENT_TIMESTAMP"),
        existing_server_default=None,
        existing_comment="When the row was last changed, kept by a trigger.",
        existing_nullable=False,
    )
    op.alter_column(
        "users",
        "id",
        existing_type=sa.Uuid(),
        server_default=op.dialect_text(postgresql="gen_random_uuid()", sqlite="(lower(hex(randomblob(16))))"),
        existing_server_default=None,
        existing_comment="Key of the row, made by the application.",
        existing_nullable=False,
    )
    op.alter_column(
        "service_registry",
        "updated_at",
        existing_type=sa.DateTime(timezone=True).with_variant(
            postgresql.TIMESTAMP(timezone=True, precision=6), "postgresql"
        ),
        server_default=sa.text("CURRENT_TIMESTAMP"),
        existing_server_default=None,
        existing_comment="When the row was last changed, kept by a trigger.",
        existing_nullable=False,
    )
    op.alter_column(
        "service_registry",
        "id",
        existing_type=sa.Uuid(),
        server_default=op.dialect_text(postgresql="gen_random_uuid()", sqlite="(lower(hex(randomblob(16))))"),
        existing_server_default=None,
        existing_comment="Key of the row, made by the application.",
        existing_nullable=False,
    )
    op.alter_column(
        "service_audit_logs",
        "id",
        existing_type=sa.Uuid(),
        server_default=op.dialect_text(postgresql="gen_random_uuid()", sqlite="(lower(hex(randomblob(16))))"),
        existing_server_default=None,
        existing_comment="Key of the row, made by the application.",
        existing_nullable=False,
    )
