"""Encrypt GitHub tokens.

What:      both token columns of users, plaintext only; NULL, empty and encrypted values stay as they are.
Why now:   the applications read plaintext and ciphertext alike, and write ciphertext.
Meanwhile: pages of 1,000 rows, a short transaction each; killed, it goes on where it stopped.
Back:      values stay encrypted, unless: alembic -x decrypt_secrets=yes downgrade …

Revision: 20251213000000
Parent:   20251212003212
"""

import sqlalchemy as sa
from alembic import context, op

revision = "20251213000000"
down_revision = "20251212003212"
branch_labels = None
depends_on = None

TABLE = "users"
COLUMNS = ["github_access_token", "github_refresh_token"]


def verify(connection: sa.Connection) -> int:
    """Rows that still hold plaintext; no key needed."""
    from app import secrets
    from app.encrypted import GITHUB_TOKENS

    return secrets.count_plaintext(connection, TABLE, COLUMNS, GITHUB_TOKENS)


def upgrade() -> None:
    from app import secrets
    from app.encrypted import GITHUB_TOKENS

    if op.get_context().as_sql:
        op.execute(secrets.guard(op.get_context().dialect.name, TABLE, COLUMNS, GITHUB_TOKENS))
    else:
        with op.get_context().autocommit_block():
            report = secrets.encrypt(op.get_bind(), TABLE, COLUMNS, GITHUB_TOKENS)
        secrets.finish(report, remaining=verify(op.get_bind()))
    op.alter_column(
        "users",
        "github_access_token",
        existing_type=sa.Text(),
        comment="GitHub access token, encrypted (AES-256-GCM).",
        existing_comment="GitHub access token, in plaintext.",
        existing_nullable=True,
    )
    op.alter_column(
        "users",
        "github_refresh_token",
        existing_type=sa.Text(),
        comment="GitHub refresh token, encrypted (AES-256-GCM).",
        existing_comment="GitHub refresh token, in plaintext.",
        existing_nullable=True,
    )


def downgrade() -> None:
    from app import secrets
    from app.encrypted import GITHUB_TOKENS

    if secrets.wants_decryption(context.get_x_argument(as_dictionary=True), as_sql=op.get_context().as_sql):
        with op.get_context().autocommit_block():
            report = secrets.decrypt(op.get_bind(), TABLE, COLUMNS, GITHUB_TOKENS)
        secrets.finish(report)
    op.alter_column(
        "users",
        "github_refresh_token",
        existing_type=sa.Text(),
        comment="GitHub refresh token, in plaintext.",
        existing_comment="GitHub refresh token, encrypted (AES-256-GCM).",
        existing_nullable=True,
    )
    op.alter_column(
        "users",
        "github_access_token",
        existing_type=sa.Text(),
        comment="GitHub access token, in plaintext.",
        existing_comment="GitHub access token, encrypted (AES-256-GCM).",
        existing_nullable=True,
    )
