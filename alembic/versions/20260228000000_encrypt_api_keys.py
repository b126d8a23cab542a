"""Encrypt API keys.

What:      service_providers.api_key, plaintext only; NULL, empty and encrypted values stay as they are.
Why now:   the applications read plaintext and ciphertext alike, and write ciphertext.
Meanwhile: pages of up to 4,000 rows, a short transaction each; killed, it goes on where it stopped.
Back:      values stay encrypted, unless: alembic -x decrypt_secrets=yes downgrade …

Revision: 20260228000000
Parent:   20260131000000
"""

import sqlalchemy as sa
from alembic import op

from app.revision_api import EncryptColumns

revision = "20260228000000"
down_revision = "20260131000000"
branch_labels = None
depends_on = None

SECRETS = EncryptColumns("service_providers", ("api_key",), format="enc", keyring="ENCRYPTION_KEY")


def verify(connection: sa.Connection) -> int:
    """Counts the rows that still hold plaintext."""
    return SECRETS.verify(connection)


def upgrade() -> None:
    SECRETS.upgrade()
    op.alter_column(
        "service_providers",
        "api_key",
        existing_type=sa.Text(),
        comment="API key, encrypted (AES-256-GCM).",
        existing_comment="API key, in plaintext.",
        existing_nullable=True,
    )


def downgrade() -> None:
    SECRETS.downgrade()
    op.alter_column(
        "service_providers",
        "api_key",
        existing_type=sa.Text(),
        comment="API key, in plaintext.",
        existing_comment="API key, encrypted (AES-256-GCM).",
        existing_nullable=True,
    )
