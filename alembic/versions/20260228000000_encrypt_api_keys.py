"""Encrypt API keys.

What:      service_providers.api_key, plaintext only; NULL, empty and encrypted values stay as they are.
Why now:   the applications read plaintext and ciphertext alike, and write ciphertext.
Meanwhile: pages of 1,000 rows, a short transaction each; killed, it goes on where it stopped.
Back:      values stay encrypted, unless: alembic -x decrypt_secrets=yes downgrade …

Revision: 20260228000000
Parent:   20260131000000
"""

import sqlalchemy as sa
from alembic import context, op

revision = "20260228000000"
down_revision = "20260131000000"
branch_labels = None
depends_on = None

TABLE = "service_providers"
COLUMNS = ["api_key"]


def verify(connection: sa.Connection) -> int:
    """Rows that still hold plaintext; no key needed."""
    from app import secrets
    from app.encrypted import API_KEYS

    return secrets.count_plaintext(connection, TABLE, COLUMNS, API_KEYS)


def upgrade() -> None:
    from app import secrets
    from app.encrypted import API_KEYS

    if op.get_context().as_sql:
        op.execute(secrets.guard(op.get_context().dialect.name, TABLE, COLUMNS, API_KEYS))
    else:
        with op.get_context().autocommit_block():
            report = secrets.encrypt(op.get_bind(), TABLE, COLUMNS, API_KEYS)
        secrets.finish(report, remaining=verify(op.get_bind()))
    op.alter_column(
        "service_providers",
        "api_key",
        existing_type=sa.Text(),
        comment="API key, encrypted (AES-256-GCM).",
        existing_comment="API key, in plaintext.",
        existing_nullable=True,
    )


def downgrade() -> None:
    from app import secrets
    from app.encrypted import API_KEYS

    if secrets.wants_decryption(context.get_x_argument(as_dictionary=True), as_sql=op.get_context().as_sql):
        with op.get_context().autocommit_block():
            report = secrets.decrypt(op.get_bind(), TABLE, COLUMNS, API_KEYS)
        secrets.finish(report)
    op.alter_column(
        "service_providers",
        "api_key",
        existing_type=sa.Text(),
        comment="API key, in plaintext.",
        existing_comment="API key, encrypted (AES-256-GCM).",
        existing_nullable=True,
    )
