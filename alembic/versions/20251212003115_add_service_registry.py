"""Add service registry.

Downstream services fetch users' tokens; every attempt is logged.

Revision: 20251212003115
Parent:   20241211000000
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20251212003115"
down_revision = "20241211000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "service_audit_logs",
        sa.Column(
            "id",
            sa.Uuid(),
            server_default=op.dialect_text(postgresql="gen_random_uuid()", sqlite="(lower(hex(randomblob(16))))"),
            nullable=False,
            comment="Key of the row, made by the application.",
        ),
        sa.Column("service_id", sa.Uuid(), nullable=False, comment="The service that asked."),
        sa.Column("user_id", sa.Uuid(), nullable=False, comment="The user whose token it asked for."),
        sa.Column("action", sa.String(length=100), nullable=False, comment="What the service wanted to do."),
        sa.Column(
            "success", sa.Boolean(), server_default=sa.text("true"), nullable=False, comment="Whether it was let."
        ),
        sa.Column("error_message", sa.Text(), nullable=True, comment="Why it was not."),
        sa.Column("ip_address", sa.String(length=45), nullable=True, comment="Address that the request came from."),
        sa.Column("user_agent", sa.Text(), nullable=True, comment="Program that sent the request."),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True).with_variant(postgresql.TIMESTAMP(timezone=True, precision=6), "postgresql"),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
            comment="When the row was made.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("service_audit_logs_pkey")),
        comment="Every attempt of a service to fetch a token, never with a token in it.",
    )
    op.create_index("service_audit_logs_created_at_idx", "service_audit_logs", ["created_at"], unique=False)
    op.create_index("service_audit_logs_service_id_idx", "service_audit_logs", ["service_id"], unique=False)
    op.create_index("service_audit_logs_success_idx", "service_audit_logs", ["success"], unique=False)
    op.create_index("service_audit_logs_user_id_idx", "service_audit_logs", ["user_id"], unique=False)
    op.create_table(
        "service_registry",
        sa.Column(
            "id",
            sa.Uuid(),
            server_default=op.dialect_text(postgresql="gen_random_uuid()", sqlite="(lower(hex(randomblob(16))))"),
            nullable=False,
            comment="Key of the row, made by the application.",
        ),
        sa.Column("service_identifier", sa.String(length=255), nullable=False, comment="Name of the service."),
        sa.Column("hashed_api_key", sa.Text(), nullable=False, comment="bcrypt hash of the service's API key."),
        sa.Column(
            "allowed_scopes",
            sa.JSON(none_as_null=True).with_variant(postgresql.ARRAY(sa.Text()), "postgresql"),
            server_default=op.dialect_text(postgresql="ARRAY[]::text[]", sqlite="'[]'"),
            nullable=True,
            comment="What the service may ask for.",
        ),
        sa.Column(
            "is_active",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="False marks a service as deleted.",
        ),
        sa.Column("description", sa.Text(), nullable=True, comment="Free text about the service."),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True).with_variant(postgresql.TIMESTAMP(timezone=True, precision=6), "postgresql"),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
            comment="When the row was made.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True).with_variant(postgresql.TIMESTAMP(timezone=True, precision=6), "postgresql"),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
            comment="When the row was last changed, kept by a trigger.",
        ),
        sa.Column(
            "last_used_at",
            sa.DateTime(timezone=True).with_variant(postgresql.TIMESTAMP(timezone=True, precision=6), "postgresql"),
            nullable=True,
            comment="When the service last fetched a token.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("service_registry_pkey")),
        sa.UniqueConstraint("service_identifier", name=op.f("service_registry_service_identifier_key")),
        comment="Downstream services that may fetch a user's token.",
    )
    op.create_index("service_registry_is_active_idx", "service_registry", ["is_active"], unique=False)
    op.create_index("service_registry_service_identifier_idx", "service_registry", ["service_identifier"], unique=False)
    op.create_trigger(
        "update_service_registry_updated_at",
        "service_registry",
        postgresql="BEFORE UPDATE ON service_registry FOR EACH ROW EXECUTE FUNCTION update_updated_at_column()",
        sqlite="AFTER UPDATE ON service_registry FOR EACH ROW WHEN NEW.updated_at IS NOT strftime('%Y-%m-%d %H:%M:%f000', 'now') BEGIN UPDATE service_registry SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE rowid = NEW.rowid; END",
    )


def downgrade() -> None:
    op.drop_trigger("update_service_registry_updated_at", "service_registry")
    op.drop_index("service_registry_service_identifier_idx", table_name="service_registry")
    op.drop_index("service_registry_is_active_idx", table_name="service_registry")
    op.drop_table("service_registry")
    op.drop_index("service_audit_logs_user_id_idx", table_name="service_audit_logs")
    op.drop_index("service_audit_logs_success_idx", table_name="service_audit_logs")
    op.drop_index("service_audit_logs_service_id_idx", table_name="service_audit_logs")
    op.drop_index("service_audit_logs_created_at_idx", table_name="service_audit_logs")
    op.drop_table("service_audit_logs")
