"""The tables of the LLM gateway: providers, routing, clients, request logs."""

import datetime as dt
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, MappedColumn, mapped_column, relationship

from app.encryption import EncryptedText, encrypted
from app.models.base import BIG_ID, FALSE, JSON, TRUE, UTC_NOW, Base, UtcDateTime, utc_now
from app.models.keys import API_KEYS
from app.partitions import Partitioned


def _created_at() -> MappedColumn[dt.datetime]:
    return mapped_column(UtcDateTime(), server_default=UTC_NOW, comment="When the row was made, UTC.")


def _updated_at() -> MappedColumn[dt.datetime]:
    return mapped_column(
        UtcDateTime(), server_default=UTC_NOW, onupdate=utc_now, comment="When the row was last changed, UTC."
    )


def _is_active() -> MappedColumn[bool]:
    return mapped_column(server_default=TRUE, comment="Whether the row is in use.")


def _price(comment: str) -> MappedColumn[Decimal | None]:
    return mapped_column(sa.Numeric(12, 4), comment=comment)


def _json(comment: str) -> MappedColumn[Any]:
    return mapped_column(JSON, nullable=True, comment=comment)


class _Prices:
    input_price: Mapped[Decimal | None] = _price("USD per 1,000,000 input tokens.")
    output_price: Mapped[Decimal | None] = _price("USD per 1,000,000 output tokens.")
    billing_mode: Mapped[str | None] = mapped_column(sa.String(50), comment="How a request is priced.")
    per_request_price: Mapped[Decimal | None] = _price("USD per request.")
    per_image_price: Mapped[Decimal | None] = _price("USD per generated image.")
    tiered_pricing: Mapped[Any] = _json("Prices that depend on the number of tokens.")
    cache_billing_enabled: Mapped[bool] = mapped_column(
        server_default=FALSE, comment="Whether cached tokens have prices of their own."
    )
    cached_input_price: Mapped[Decimal | None] = _price("USD per 1,000,000 input tokens read from the cache.")
    cached_output_price: Mapped[Decimal | None] = _price("USD per 1,000,000 output tokens written to the cache.")


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
    extra_headers: Mapped[Any] = _json("Extra HTTP headers for this provider.")
    provider_options: Mapped[Any] = _json("Provider-specific options.")
    proxy_enabled: Mapped[bool] = mapped_column(server_default=FALSE, comment="Whether to go through the proxy.")
    proxy_url: Mapped[str | None] = mapped_column(sa.Text, comment="The proxy to go through.")
    is_active: Mapped[bool] = _is_active()
    created_at: Mapped[dt.datetime] = _created_at()
    updated_at: Mapped[dt.datetime] = _updated_at()

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
    matching_rules: Mapped[Any] = _json("Rules that a request must match.")
    capabilities: Mapped[Any] = _json("What the model can do.")
    is_active: Mapped[bool] = _is_active()
    created_at: Mapped[dt.datetime] = _created_at()
    updated_at: Mapped[dt.datetime] = _updated_at()

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
    provider_rules: Mapped[Any] = _json("Rules that a request must match for this provider.")
    priority: Mapped[int] = mapped_column(server_default=sa.text("0"), comment="Order among the providers of a model.")
    weight: Mapped[int] = mapped_column(server_default=sa.text("1"), comment="Share among providers of equal priority.")
    is_active: Mapped[bool] = _is_active()
    created_at: Mapped[dt.datetime] = _created_at()
    updated_at: Mapped[dt.datetime] = _updated_at()

    mapping: Mapped[ModelMapping] = relationship(back_populates="providers")
    provider: Mapped[ServiceProvider] = relationship(back_populates="models")


class ApiKey(Base):
    """A client of the gateway."""

    __tablename__ = "api_keys"
    __table_args__ = ({"comment": "Clients of the gateway."},)

    id: Mapped[int] = mapped_column(primary_key=True, comment="Key of the row.")
    key_name: Mapped[str] = mapped_column(sa.String(100), unique=True, comment="Name of the client.")
    key_value: Mapped[str] = mapped_column(sa.String(100), unique=True, comment="The key that the client presents.")
    is_active: Mapped[bool] = _is_active()
    created_at: Mapped[dt.datetime] = _created_at()
    last_used_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime(), comment="When it was last used, UTC.")


def _integer(comment: str) -> MappedColumn[int | None]:
    return mapped_column(sa.Integer, comment=comment)


def _string(length: int, comment: str) -> MappedColumn[str | None]:
    return mapped_column(sa.String(length), comment=comment)


def _text(comment: str) -> MappedColumn[str | None]:
    return mapped_column(sa.Text, comment=comment)


class RequestLog(Base):
    """One proxied request; by far the largest table."""

    __tablename__ = "request_logs"
    __table_args__ = (
        sa.Index("idx_request_logs_time", "request_time"),
        sa.Index("idx_request_logs_time_model", "request_time", "requested_model"),
        sa.Index("idx_request_logs_time_provider", "request_time", "provider_id"),
        sa.Index("idx_request_logs_time_status", "request_time", "response_status"),
        sa.Index("idx_request_logs_time_apikey", "request_time", "api_key_id"),
        sa.Index("idx_request_logs_model", "requested_model"),
        sa.Index("idx_request_logs_api_key", "api_key_id"),
        Partitioned(by="request_time"),
        {"comment": "One row per proxied request."},
    )

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True, comment="Key of the row.")
    request_time: Mapped[dt.datetime] = mapped_column(UtcDateTime(), comment="When the request came, UTC.")
    api_key_id: Mapped[int | None] = mapped_column(sa.ForeignKey("api_keys.id"), comment="The client that sent it.")
    api_key_name: Mapped[str | None] = _string(100, "The client's name at that time.")
    requested_model: Mapped[str | None] = _string(100, "Model that the client asked for.")
    target_model: Mapped[str | None] = _string(100, "Model that the provider was asked for.")
    provider_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("service_providers.id"), comment="The provider that served it."
    )
    provider_name: Mapped[str | None] = _string(100, "The provider's name at that time.")
    retry_count: Mapped[int] = mapped_column(server_default=sa.text("0"), comment="How often it was tried again.")
    matched_provider_count: Mapped[int | None] = _integer("How many providers could have served it.")
    first_byte_delay_ms: Mapped[int | None] = _integer("Milliseconds until the first byte of the response.")
    total_time_ms: Mapped[int | None] = _integer("Milliseconds until the end of the response.")
    input_tokens: Mapped[int | None] = _integer("Tokens of the request.")
    output_tokens: Mapped[int | None] = _integer("Tokens of the response.")
    total_cost: Mapped[Decimal | None] = _price("Cost of the request, USD.")
    input_cost: Mapped[Decimal | None] = _price("Cost of the input tokens, USD.")
    output_cost: Mapped[Decimal | None] = _price("Cost of the output tokens, USD.")
    cached_input_cost: Mapped[Decimal | None] = _price("Cost of input tokens read from the cache, USD.")
    cached_output_cost: Mapped[Decimal | None] = _price("Cost of output tokens written to the cache, USD.")
    price_source: Mapped[str | None] = _string(50, "Where the prices came from.")
    request_headers: Mapped[Any] = _json("Headers of the client's request.")
    response_headers: Mapped[Any] = _json("Headers of the response.")
    request_body: Mapped[Any] = _json("Body of the client's request, as it came.")
    response_status: Mapped[int | None] = _integer("HTTP status of the response.")
    response_body: Mapped[str | None] = _text("Body of the response, as the client got it.")
    usage_details: Mapped[Any] = _json("Token counts as the provider reported them.")
    error_info: Mapped[str | None] = _text("What went wrong, if anything did.")
    trace_id: Mapped[str | None] = _string(100, "Identifier that ties log lines together.")
    is_stream: Mapped[bool] = mapped_column(server_default=FALSE, comment="Whether it was a stream request.")
    request_path: Mapped[str | None] = _string(200, "Path of the client's request.")
    request_method: Mapped[str | None] = _string(10, "HTTP method of the client's request.")
    upstream_url: Mapped[str | None] = _string(500, "URL that the provider was asked at.")
    request_protocol: Mapped[str | None] = _string(50, "Protocol of the client: openai or anthropic.")
    supplier_protocol: Mapped[str | None] = _string(50, "Protocol of the provider: openai or anthropic.")
    converted_request_body: Mapped[Any] = _json("Body of the request after protocol conversion.")
    upstream_response_body: Mapped[str | None] = _text("Body of the response before protocol conversion.")

    api_key: Mapped[ApiKey | None] = relationship()
    provider: Mapped[ServiceProvider | None] = relationship()
