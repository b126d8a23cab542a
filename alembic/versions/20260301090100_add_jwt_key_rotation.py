"""Add JWT key rotation.

The auth service replaces its signing keys by schedule, and remembers when.
Back: the schedule is lost; the keys themselves are stored elsewhere.

Revision: 20260301090100
Parent:   20260301090000
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20260301090100"
down_revision = "20260301090000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "jwt_key_rotation",
        sa.Column("id", sa.Uuid(), nullable=False, comment="Key of the row, made by the application."),
        sa.Column("key_identifier", sa.String(length=255), nullable=False, comment="Name of the key, its kid."),
        sa.Column("key_type", sa.String(length=50), nullable=False, comment="Kind of key."),
        sa.Column(
            "last_rotated_at",
            sa.DateTime(timezone=True).with_variant(postgresql.TIMESTAMP(timezone=True, precision=6), "postgresql"),
            nullable=False,
            comment="When the key was last replaced.",
        ),
        sa.Column(
            "next_rotation_due",
            sa.DateTime(timezone=True).with_variant(postgresql.TIMESTAMP(timezone=True, precision=6), "postgresql"),
            nullable=True,
            comment="When it is to be replaced next.",
        ),
        sa.Column(
            "is_active",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="Whether tokens are signed with it.",
        ),
        sa.Column(
            "rotation_interval_days", sa.Integer(), nullable=True, comment="Days from one replacement to the next."
        ),
        sa.Column("metadata", sa.Text(), nullable=True, comment="Free text about the key."),
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
            nullable=False,
            comment="When the row was last changed, kept by a trigger.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("jwt_key_rotation_pkey")),
        sa.UniqueConstraint("key_identifier", name=op.f("jwt_key_rotation_key_identifier_key")),
        comment="Keys that the auth service signs tokens with, never a key itself.",
    )
    op.create_index("jwt_key_rotation_is_active_idx", "jwt_key_rotation", ["is_active"], unique=False)
    op.create_index("jwt_key_rotation_key_identifier_idx", "jwt_key_rotation", ["key_identifier"], unique=False)
    op.create_index("jwt_key_rotation_next_rotation_due_idx", "jwt_key_rotation", ["next_rotation_due"], unique=False)
    op.create_trigger(
        "update_jwt_key_rotation_updated_at",
        "jwt_key_rotation",
        postgresql="BEFORE UPDATE ON jwt_key_rotation FOR EACH ROW EXECUTE FUNCTION update_updated_at_column()",
        sqlite="AFTER UPDATE ON jwt_key_rotation FOR EACH ROW WHEN NEW.updated_at IS NOT strftime('%Y-%m-%d %H:%M:%f000', 'now') BEGIN UPDATE jwt_key_rotation SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE rowid = NEW.rowid; END",
    )


def downgrade() -> None:
    op.drop_trigger("update_jwt_key_rotation_updated_at", "jwt_key_rotation")
    op.drop_index("jwt_key_rotation_next_rotation_due_idx", table_name="jwt_key_rotation")
    op.drop_index("jwt_key_rotation_key_identifier_idx", table_name="jwt_key_rotation")
    op.drop_index("jwt_key_rotation_is_active_idx", table_name="jwt_key_rotation")
    op.drop_table("jwt_key_rotation")
