"""The gateway's own clients and the keys that they present."""

import datetime as dt
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column, validates

from app.encryption import same_text
from app.models import gateway_columns as columns
from app.models.base import FALSE, TRUE, Base, UtcDateTime
from app.models.keys import CLIENT_KEY_HASHES


class ApiKey(Base):
    """A client of the gateway. `find` looks it up by the key that it presents."""

    __tablename__ = "api_keys"
    __table_args__ = (
        # Not unique: the running gateway changes key_value and leaves the hash, which another row may then have too.
        sa.Index("api_keys_key_hash_idx", "key_hash"),
        {"comment": "Clients of the gateway."},
    )

    id: Mapped[int] = mapped_column(primary_key=True, comment="Key of the row.")
    key_name: Mapped[str] = mapped_column(sa.String(100), unique=True, comment="Name of the client.")
    key_value: Mapped[str] = mapped_column(sa.String(100), unique=True, comment="The key that the client presents.")
    key_hash: Mapped[str | None] = mapped_column(
        sa.Text, info=CLIENT_KEY_HASHES.of("key_value"), comment="Keyed hash of the key (HMAC-SHA-256)."
    )
    is_active: Mapped[bool] = columns.is_active()
    record_details: Mapped[bool] = mapped_column(
        server_default=TRUE, comment="Whether bodies and headers of its requests are logged."
    )
    is_mcp_admin: Mapped[bool] = mapped_column(
        server_default=FALSE, comment="Whether it may administer the gateway through MCP."
    )
    created_at: Mapped[dt.datetime] = columns.created_at()
    last_used_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime(), comment="When it was last used, UTC.")

    @validates("key_value")
    def _set_key_hash(self, _name: str, value: Any) -> Any:
        # Without API_KEY_HASH_KEY, and for an expression of SQL, NULL: the hash of the former key must not stay.
        self.key_hash = CLIENT_KEY_HASHES.hash(value) if isinstance(value, str) else None
        return value

    @classmethod
    def find(cls, session: Session, key_value: str) -> "ApiKey | None":
        """Returns the client that presents this key, active or not; takes one query, or two.

        The hash is looked up first, under the current key and previous ones. The running gateway writes no hashes, and
        leaves them when it changes a key. So a hash counts only while `key_value` agrees, and a key without a row is
        looked up as it is. With asyncio: `await session.run_sync(ApiKey.find, key_value)`.

        Args:
            session: a session; the row belongs to it.
            key_value: the key as the client presents it.

        Raises:
            KeyConfigurationError: `API_KEY_HASH_KEY` or a previous key is none.
        """
        if not _is_storable(key_value):  # the driver's error for such a text could show it
            return None
        hashes = CLIENT_KEY_HASHES.candidates(key_value)
        for condition in (*([cls.key_hash.in_(hashes)] if hashes else []), cls.key_value == key_value):
            # The column beside the instance is what the database holds; the session may have an older instance.
            for client, stored in session.execute(sa.select(cls, cls.key_value).where(condition)):
                if same_text(stored, key_value):
                    return client
        return None


def _is_storable(key_value: str) -> bool:
    with suppress(UnicodeEncodeError):
        return b"\0" not in key_value.encode() and key_value != ""
    return False
