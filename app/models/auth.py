"""The tables of the GitHub auth service: users, registered services, audit log, tokens and keys of its own."""

import datetime as dt
import uuid
from contextlib import suppress

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, MappedColumn, mapped_column

from app.encryption import EncryptedText, encrypted
from app.models.base import EMPTY_TEXT_ARRAY, FALSE, TEXT_ARRAY, TRUE, Base, UtcDateTime
from app.models.keys import GITHUB_TOKENS
from app.partitions import Partitioned
from app.triggers import UpdatedAtTrigger

# bcrypt ignores the rest: two keys with the same first 72 bytes would have the same hash.
BCRYPT_MAX_BYTES = 72


def _id() -> MappedColumn[uuid.UUID]:
    return mapped_column(primary_key=True, default=uuid.uuid4, comment="Key of the row, made by the application.")


def _created_at() -> MappedColumn[dt.datetime]:
    return mapped_column(
        UtcDateTime(timezone=True), server_default=sa.text("CURRENT_TIMESTAMP"), comment="When the row was made."
    )


def _updated_at() -> MappedColumn[dt.datetime]:
    # The database's clock, as for created_at: by the application's clock a row could change before it was made.
    # FetchedValue: SQLAlchemy reads the trigger's time again on the next access after an UPDATE.
    return mapped_column(
        UtcDateTime(timezone=True),
        default=sa.func.current_timestamp(),
        server_onupdate=sa.FetchedValue(),
        comment="When the row was last changed, kept by a trigger.",
    )


class User(Base):
    """A GitHub account that has signed in. Both tokens read and write plaintext; their columns hold ciphertext."""

    __tablename__ = "users"
    __table_args__ = ({"comment": "GitHub accounts that have signed in."},)

    id: Mapped[uuid.UUID] = _id()
    github_user_id: Mapped[int] = mapped_column(sa.BigInteger, unique=True, comment="Id of the account at GitHub.")
    _github_access_token: Mapped[str | None] = mapped_column(
        "github_access_token", EncryptedText(GITHUB_TOKENS), comment="GitHub access token, encrypted (AES-256-GCM)."
    )
    github_access_token = encrypted(_github_access_token, GITHUB_TOKENS)
    _github_refresh_token: Mapped[str | None] = mapped_column(
        "github_refresh_token", EncryptedText(GITHUB_TOKENS), comment="GitHub refresh token, encrypted (AES-256-GCM)."
    )
    github_refresh_token = encrypted(_github_refresh_token, GITHUB_TOKENS)
    github_token_expires_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime(timezone=True), comment="When the access token expires."
    )
    is_whitelisted: Mapped[bool] = mapped_column(server_default=FALSE, comment="Whether the account may sign in.")
    created_at: Mapped[dt.datetime] = _created_at()
    updated_at: Mapped[dt.datetime] = _updated_at()


class ServiceRegistry(Base):
    """A downstream service that may fetch a user's token; only a bcrypt hash of its API key is stored."""

    __tablename__ = "service_registry"
    __table_args__ = (
        sa.Index("service_registry_service_identifier_idx", "service_identifier"),
        sa.Index("service_registry_is_active_idx", "is_active"),
        {"comment": "Downstream services that may fetch a user's token."},
    )

    id: Mapped[uuid.UUID] = _id()
    service_identifier: Mapped[str] = mapped_column(sa.String(255), unique=True, comment="Name of the service.")
    hashed_api_key: Mapped[str] = mapped_column(sa.Text, comment="bcrypt hash of the service's API key.")
    allowed_scopes: Mapped[list[str] | None] = mapped_column(
        TEXT_ARRAY, server_default=EMPTY_TEXT_ARRAY, comment="What the service may ask for."
    )
    is_active: Mapped[bool] = mapped_column(server_default=TRUE, comment="False marks a service as deleted.")
    description: Mapped[str | None] = mapped_column(sa.Text, comment="Free text about the service.")
    created_at: Mapped[dt.datetime] = _created_at()
    updated_at: Mapped[dt.datetime] = _updated_at()
    last_used_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime(timezone=True), comment="When the service last fetched a token."
    )
    last_api_key_rotated_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime(timezone=True), comment="When its API key was last replaced."
    )

    def set_api_key(self, plaintext: str) -> None:
        """Replaces the hash by that of `plaintext`. Slow by design (some 0.2 s): in asyncio, call it in a thread.

        Raises:
            ValueError: the key is empty, holds a NUL, can't be written as UTF-8, or has more than 72 bytes.
        """
        import bcrypt

        key = _hashable(plaintext)
        if key is None:
            raise ValueError(f"an API key must have 1 to {BCRYPT_MAX_BYTES} bytes in UTF-8, and no NUL among them")
        self.hashed_api_key = bcrypt.hashpw(key, bcrypt.gensalt()).decode()

    def verify_api_key(self, plaintext: str) -> bool:
        """Returns whether `plaintext` is the key that was hashed; as slow as `set_api_key`.

        It returns False for a key that `set_api_key` refuses, and for a stored hash that isn't bcrypt's.
        """
        import bcrypt

        key = _hashable(plaintext)
        with suppress(ValueError):
            return key is not None and bcrypt.checkpw(key, self.hashed_api_key.encode())
        return False


def _hashable(plaintext: str) -> bytes | None:
    with suppress(UnicodeEncodeError):  # an error raised inside would show the whole text as its context
        key = plaintext.encode()
        return key if 0 < len(key) <= BCRYPT_MAX_BYTES and b"\0" not in key else None
    return None


class ServiceAuditLog(Base):
    """An attempt of a service to fetch a token; without foreign keys, since it outlives service and user."""

    __tablename__ = "service_audit_logs"
    __table_args__ = (
        sa.Index("service_audit_logs_service_id_idx", "service_id"),
        sa.Index("service_audit_logs_user_id_idx", "user_id"),
        sa.Index("service_audit_logs_created_at_idx", "created_at"),
        sa.Index("service_audit_logs_success_idx", "success"),
        # No retention: audit rows go when a setting says so, and not before.
        Partitioned(by="created_at", every="month", keep=None, ahead="3 months"),
        {"comment": "Every attempt of a service to fetch a token, never with a token in it."},
    )

    id: Mapped[uuid.UUID] = _id()
    service_id: Mapped[uuid.UUID] = mapped_column(comment="The service that asked.")
    user_id: Mapped[uuid.UUID] = mapped_column(comment="The user whose token it asked for.")
    action: Mapped[str] = mapped_column(sa.String(100), comment="What the service wanted to do.")
    success: Mapped[bool] = mapped_column(server_default=TRUE, comment="Whether it was let.")
    error_message: Mapped[str | None] = mapped_column(sa.Text, comment="Why it was not.")
    ip_address: Mapped[str | None] = mapped_column(sa.String(45), comment="Address that the request came from.")
    user_agent: Mapped[str | None] = mapped_column(sa.Text, comment="Program that sent the request.")
    created_at: Mapped[dt.datetime] = _created_at()


class RevokedToken(Base):
    """A token of the auth service that is refused before it expires; without a foreign key, it outlives its user."""

    __tablename__ = "revoked_tokens"
    __table_args__ = (
        sa.Index("revoked_tokens_jti_idx", "jti"),
        sa.Index("revoked_tokens_user_id_idx", "user_id"),
        sa.Index("revoked_tokens_token_expires_at_idx", "token_expires_at"),
        sa.Index("revoked_tokens_revoked_at_idx", "revoked_at"),
        {"comment": "Tokens of the auth service that are refused before they expire."},
    )

    id: Mapped[uuid.UUID] = _id()
    jti: Mapped[str] = mapped_column(sa.String(255), unique=True, comment="Identifier of the token, its claim jti.")
    user_id: Mapped[uuid.UUID] = mapped_column(comment="The user that the token was issued to.")
    token_issued_at: Mapped[dt.datetime] = mapped_column(
        UtcDateTime(timezone=True), comment="When the token was issued."
    )
    token_expires_at: Mapped[dt.datetime] = mapped_column(UtcDateTime(timezone=True), comment="When it expires.")
    revoked_at: Mapped[dt.datetime] = mapped_column(
        UtcDateTime(timezone=True), server_default=sa.text("CURRENT_TIMESTAMP"), comment="When it was revoked."
    )
    revoked_by: Mapped[str | None] = mapped_column(sa.String(255), comment="Who revoked it.")
    reason: Mapped[str | None] = mapped_column(sa.Text, comment="Why it was revoked.")


class JwtKeyRotation(Base):
    """A key that the auth service signs tokens with, and when it is replaced; the key itself is not stored."""

    __tablename__ = "jwt_key_rotation"
    __table_args__ = (
        sa.Index("jwt_key_rotation_key_identifier_idx", "key_identifier"),
        sa.Index("jwt_key_rotation_is_active_idx", "is_active"),
        sa.Index("jwt_key_rotation_next_rotation_due_idx", "next_rotation_due"),
        {"comment": "Keys that the auth service signs tokens with, never a key itself."},
    )

    id: Mapped[uuid.UUID] = _id()
    key_identifier: Mapped[str] = mapped_column(sa.String(255), unique=True, comment="Name of the key, its kid.")
    key_type: Mapped[str] = mapped_column(sa.String(50), comment="Kind of key.")
    last_rotated_at: Mapped[dt.datetime] = mapped_column(
        UtcDateTime(timezone=True), comment="When the key was last replaced."
    )
    next_rotation_due: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime(timezone=True), comment="When it is to be replaced next."
    )
    is_active: Mapped[bool] = mapped_column(server_default=TRUE, comment="Whether tokens are signed with it.")
    rotation_interval_days: Mapped[int | None] = mapped_column(comment="Days from one replacement to the next.")
    # The attribute can't be `metadata`, which is the declarative base's.
    metadata_text: Mapped[str | None] = mapped_column("metadata", sa.Text, comment="Free text about the key.")
    created_at: Mapped[dt.datetime] = _created_at()
    updated_at: Mapped[dt.datetime] = _updated_at()


UpdatedAtTrigger(User.__table__)
UpdatedAtTrigger(ServiceRegistry.__table__)
UpdatedAtTrigger(JwtKeyRotation.__table__)
