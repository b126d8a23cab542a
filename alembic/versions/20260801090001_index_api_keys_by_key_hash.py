"""Index API keys by key hash.

Every request looks a client up.
The index isn't unique: the gateway changes key_value and leaves the hash, which another client may then have as well.

Revision: 20260801090001
Parent:   20260801090000
"""

from alembic import op

revision = "20260801090001"
down_revision = "20260801090000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.concurrently():
        op.create_index("api_keys_key_hash_idx", "api_keys", ["key_hash"], unique=False)


def downgrade() -> None:
    with op.concurrently():
        op.drop_index("api_keys_key_hash_idx", table_name="api_keys")
