"""The tables of the LLM gateway: providers, routing, stored values."""

import datetime as dt
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.encryption import EncryptedText, encrypted
from app.models import gateway_columns as columns
from app.models.base import FALSE, Base, UtcDateTime
from app.models.keys import API_KEYS


class _Prices:
    input_price: Mapped[Decimal | None] = columns.price("USD per 1,000,000 input tokens.")
    output_price: Mapped[Decimal | None] = columns.price("USD per 1,000,000 output tokens.")
    billing_mode: Mapped[str | None] = mapped_column(sa.String(50), comment="How a request is priced.")
    per_request_price: Mapped[Decimal | None] = columns.price("USD per request.")
    per_image_price: Mapped[Decimal | None] = columns.price("USD per generated image.")
    tiered_pricing: Mapped[Any] = columns.json("Prices that depend on the number of tokens.")
    cache_billing_enabled: Mapped[bool] = mapped_column(
        server_default=FALSE, comment="Whether cached tokens have prices of their own."
    )
    cached_input_price: Mapped[Decimal | None] = columns.price("USD per 1,000,000 input tokens read from the cache.")
    cached_output_price: Mapped[Decimal | None] = columns.price("USD per 1,000,000 output tokens written to the cache.")
    cache_creation_input_price: Mapped[Decimal | None] = columns.price(
        "USD per 1,000,000 input tokens that make a cache entry."
    )


class ServiceProvider(Base):
    """An upstream LLM provider. `api_key` reads and writes plaintext; its column holds ciphertext."""

    __tablename__ = "service_providers"
    __table_args__ = ({"comment": "Upstream LLM providers."},)

    id: Mapped[int] = mapped_column(primary_key=True, comment="Key of the row.")
    name: Mapped[str] = mapped_column(sa.String(100), unique=True, comment="Name of the provider.")
    remark: Mapped[str | None] = mapped_column(sa.Text, comment="Free text for the operator.")
    base_url: Mapped[str] = mapped_column(sa.String(500), comment="Where its API is.")
    protocol: Mapped[str] = mapped_column(sa.String(50), comment="Protocol it speaks: openai or anthropic.")
    api_type: Mapped[str] = mapped_column(sa.String(50), server_default="chat", comment="Kind of API, such as chat.")
    _api_key: Mapped[str | None] = mapped_column(
        "api_key", EncryptedText(API_KEYS), comment="API key, encrypted (AES-256-GCM)."
    )
    api_key = encrypted(_api_key, API_KEYS, blank_as_none=True)
    extra_headers: Mapped[Any] = columns.json("Extra HTTP headers for this provider.")
    provider_options: Mapped[Any] = columns.json("Provider-specific options.")
    proxy_enabled: Mapped[bool] = mapped_column(server_default=FALSE, comment="Whether to go through the proxy.")
    proxy_url: Mapped[str | None] = mapped_column(sa.Text, comment="The proxy to go through.")
    response_timeout_seconds: Mapped[int] = mapped_column(
        server_default=sa.text("1800"), comment="Seconds that a response may take."
    )
    is_active: Mapped[bool] = columns.is_active()
    created_at: Mapped[dt.datetime] = columns.created_at()
    updated_at: Mapped[dt.datetime] = columns.updated_at()

    models: Mapped[list["ModelMappingProvider"]] = relationship(
        back_populates="provider", cascade="all, delete-orphan", passive_deletes=True
    )


class ModelMapping(_Prices, Base):
    """A model name that clients ask for."""

    __tablename__ = "model_mappings"
    __table_args__ = ({"comment": "Model names that clients ask for."},)

    requested_model: Mapped[str] = mapped_column(sa.String(100), primary_key=True, comment="Name that clients ask for.")
    strategy: Mapped[str] = mapped_column(
        sa.String(50), server_default="round_robin", comment="How one of its providers is chosen."
    )
    model_type: Mapped[str] = mapped_column(
        sa.String(50), server_default="chat", comment="Kind of model, such as chat."
    )
    matching_rules: Mapped[Any] = columns.json("Rules that a request must match.")
    capabilities: Mapped[Any] = columns.json("What the model can do.")
    is_active: Mapped[bool] = columns.is_active()
    created_at: Mapped[dt.datetime] = columns.created_at()
    updated_at: Mapped[dt.datetime] = columns.updated_at()

    providers: Mapped[list["ModelMappingProvider"]] = relationship(
        back_populates="mapping", cascade="all, delete-orphan", passive_deletes=True
    )


class ModelMappingProvider(_Prices, Base):
    """A provider that serves a requested model, and the model's name there. Its prices override the mapping's."""

    __tablename__ = "model_mapping_providers"
    __table_args__ = ({"comment": "Which provider serves a requested model, and under which name."},)

    id: Mapped[int] = mapped_column(primary_key=True, comment="Key of the row.")
    requested_model: Mapped[str] = mapped_column(
        sa.String(100),
        sa.ForeignKey("model_mappings.requested_model", ondelete="CASCADE"),
        comment="Name that clients ask for.",
    )
    provider_id: Mapped[int] = mapped_column(
        sa.ForeignKey("service_providers.id", ondelete="CASCADE"), comment="The provider that serves it."
    )
    target_model_name: Mapped[str] = mapped_column(sa.String(100), comment="Name of the model at the provider.")
    provider_rules: Mapped[Any] = columns.json("Rules that a request must match for this provider.")
    priority: Mapped[int] = mapped_column(server_default=sa.text("0"), comment="Order among the providers of a model.")
    weight: Mapped[int] = mapped_column(server_default=sa.text("1"), comment="Share among providers of equal priority.")
    paused_until: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime(), comment="Until when no request is sent there, UTC."
    )
    is_active: Mapped[bool] = columns.is_active()
    created_at: Mapped[dt.datetime] = columns.created_at()
    updated_at: Mapped[dt.datetime] = columns.updated_at()

    mapping: Mapped[ModelMapping] = relationship(back_populates="providers")
    provider: Mapped[ServiceProvider] = relationship(back_populates="models")


class KeyValue(Base):
    """A value that the gateway keeps for a while, such as a session or a counter."""

    __tablename__ = "key_value_store"
    __table_args__ = (
        sa.Index("idx_kv_expires_at", "expires_at"),
        {"comment": "Values that the gateway keeps between requests."},
    )

    key: Mapped[str] = mapped_column(sa.String(255), primary_key=True, comment="Name of the value.")
    value: Mapped[str] = mapped_column(sa.Text, comment="The value, as the gateway wrote it.")
    expires_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime(), comment="When it may be removed, UTC; never if it is NULL."
    )
    created_at: Mapped[dt.datetime] = columns.created_at()
    updated_at: Mapped[dt.datetime] = columns.updated_at()
