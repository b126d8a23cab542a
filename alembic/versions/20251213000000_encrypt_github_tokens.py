"""Encrypt GitHub tokens.

What:      both token columns of users, plaintext only; NULL, empty and encrypted values stay as they are.
Why now:   the applications read plaintext and ciphertext alike, and write ciphertext.
Meanwhile: pages of up to 4,000 rows, a short transaction each; killed, it goes on where it stopped.
Back:      values stay encrypted, unless: alembic -x decrypt_secrets=yes downgrade …

Revision: 20251213000000
Parent:   20251212003212
"""

import sqlalchemy as sa
from alembic import op

from app.revision_api import EncryptColumns

revision = "20251213000000"
down_revision = "20251212003212"
branch_labels = None
depends_on = None

SECRETS = EncryptColumns(
    "users", ("github_access_token", "github_refresh_token"), format="token", keyring="GITHUB_TOKEN_ENCRYPTION_KEY"
)


def verify(connection: sa.Connection) -> int:
    """Counts the rows that still hold plaintext."""
    return SECRETS.verify(connection)


def upgrade() -> None:
    SECRETS.upgrade()
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
    SECRETS.downgrade()
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
