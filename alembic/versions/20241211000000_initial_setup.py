"""Initial setup.

The users of the auth service, with their GitHub tokens in plaintext.

Revision: 20241211000000
Parent:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20241211000000"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column(
            "id",
            sa.Uuid(),
            server_default=op.dialect_text(postgresql="gen_random_uuid()", sqlite="(lower(hex(randomblob(16))))"),
            nullable=False,
            comment="Key of the row, made by the application.",
        ),
        sa.Column("github_user_id", sa.BigInteger(), nullable=False, comment="Id of the account at GitHub."),
        sa.Column("github_access_token", sa.Text(), nullable=True, comment="GitHub access token, in plaintext."),
        sa.Column("github_refresh_token", sa.Text(), nullable=True, comment="GitHub refresh token, in plaintext."),
        sa.Column(
            "github_token_expires_at",
            sa.DateTime(timezone=True).with_variant(postgresql.TIMESTAMP(timezone=True, precision=6), "postgresql"),
            nullable=True,
            comment="When the access token expires.",
        ),
        sa.Column(
            "is_whitelisted",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether the account may sign in.",
        ),
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
        sa.PrimaryKeyConstraint("id", name=op.f("users_pkey")),
        sa.UniqueConstraint("github_user_id", name=op.f("users_github_user_id_key")),
        comment="GitHub accounts that have signed in.",
    )
    op.create_index("users_created_at_idx", "users", ["created_at"], unique=False)
    op.create_index("users_is_whitelisted_idx", "users", ["is_whitelisted"], unique=False)
    op.create_trigger_function("update_updated_at_column", "BEGIN NEW.updated_at = CURRENT_TIMESTAMP; RETURN NEW; END;")
    op.create_trigger(
        "update_users_updated_at",
        "users",
        postgresql="BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION update_updated_at_column()",
        sqlite="AFTER UPDATE ON users FOR EACH ROW WHEN NEW.updated_at IS NOT strftime('%Y-%m-%d %H:%M:%f000', 'now') BEGIN UPDATE users SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE rowid = NEW.rowid; END",
    )


def downgrade() -> None:
    op.drop_trigger("update_users_updated_at", "users")
    op.drop_trigger_function("update_updated_at_column")
    op.drop_index("users_is_whitelisted_idx", table_name="users")
    op.drop_index("users_created_at_idx", table_name="users")
    op.drop_table("users")
