"""Add revoked tokens.

The auth service refuses a token that was revoked, before the token expires.
Back: the revocations are lost; tokens that were revoked are accepted until they expire.

Revision: 20260301090000
Parent:   20260228000000
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20260301090000"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "revoked_tokens",
        sa.Column("id", sa.Uuid(), nullable=False, comment="Key of the row, made by the application."),
        sa.Column("jti", sa.String(length=255), nullable=False, comment="Identifier of the token, its claim jti."),
        sa.Column("user_id", sa.Uuid(), nullable=False, comment="The user that the token was issued to."),
        sa.Column(
            "token_issued_at",
            sa.DateTime(timezone=True).with_variant(postgresql.TIMESTAMP(timezone=True, precision=6), "postgresql"),
            nullable=False,
            comment="When the token was issued.",
        ),
        sa.Column(
            "token_expires_at",
            sa.DateTime(timezone=True).with_variant(postgresql.TIMESTAMP(timezone=True, precision=6), "postgresql"),
            nullable=False,
            comment="When it expires.",
        ),
        sa.Column(
            "revoked_at",
            sa.DateTime(timezone=True).with_variant(postgresql.TIMESTAMP(timezone=True, precision=6), "postgresql"),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
            comment="When it was revoked.",
        ),
        sa.Column("revoked_by", sa.String(length=255), nullable=True, comment="Who revoked it."),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why it was revoked."),
        sa.PrimaryKeyConstraint("id", name=op.f("revoked_tokens_pkey")),
        sa.UniqueConstraint("jti", name=op.f("revoked_tokens_jti_key")),
        comment="Tokens of the auth service that are refused before they expire.",
    )
    op.create_index("revoked_tokens_jti_idx", "revoked_tokens", ["jti"], unique=False)
    op.create_index("revoked_tokens_revoked_at_idx", "revoked_tokens", ["revoked_at"], unique=False)
    op.create_index("revoked_tokens_token_expires_at_idx", "revoked_tokens", ["token_expires_at"], unique=False)
    op.create_index("revoked_tokens_user_id_idx", "revoked_tokens", ["user_id"], unique=False)


def downgrade() -> None:
    op.drop_index("revoked_tokens_user_id_idx", table_name="revoked_tokens")
    op.drop_index("revoked_tokens_token_expires_at_idx", table_name="revoked_tokens")
    op.drop_index("revoked_tokens_revoked_at_idx", table_name="revoked_tokens")
    op.drop_index("revoked_tokens_jti_idx", table_name="revoked_tokens")
    op.drop_table("revoked_tokens")
