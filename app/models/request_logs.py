"""The gateway's log of requests, and the bodies that are kept beside it."""

import datetime as dt
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, foreign, mapped_column, relationship

from app.models import gateway_columns as columns
from app.models.base import BIG_ID, FALSE, TRUE, UTC_NOW, Base, UtcDateTime
from app.models.client_keys import ApiKey
from app.models.gateway import ServiceProvider
from app.partitions import Partitioned


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
        sa.Index("idx_request_logs_time_user_id", "request_time", "user_id"),
        sa.Index("idx_request_logs_user_id", "user_id"),
        sa.Index("idx_request_logs_trace_id_id", "trace_id", "id"),
        sa.Index("idx_request_logs_completed_time", "is_completed", "request_time"),
        Partitioned(by="request_time", every="week", keep="90 days", ahead="4 weeks"),
        {"comment": "One row per proxied request."},
    )

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True, comment="Key of the row.")
    request_time: Mapped[dt.datetime] = mapped_column(UtcDateTime(), comment="When the request came, UTC.")
    api_key_id: Mapped[int | None] = mapped_column(sa.ForeignKey("api_keys.id"), comment="The client that sent it.")
    api_key_name: Mapped[str | None] = columns.string(100, "The client's name at that time.")
    requested_model: Mapped[str | None] = columns.string(100, "Model that the client asked for.")
    target_model: Mapped[str | None] = columns.string(100, "Model that the provider was asked for.")
    # No foreign key: no index begins with the column, so deleting a provider would read the whole log.
    provider_id: Mapped[int | None] = columns.integer("The provider that served it.")
    provider_name: Mapped[str | None] = columns.string(100, "The provider's name at that time.")
    retry_count: Mapped[int] = mapped_column(server_default=sa.text("0"), comment="How often it was tried again.")
    matched_provider_count: Mapped[int | None] = columns.integer("How many providers could have served it.")
    first_byte_delay_ms: Mapped[int | None] = columns.integer("Milliseconds until the first byte of the response.")
    total_time_ms: Mapped[int | None] = columns.integer("Milliseconds until the end of the response.")
    input_tokens: Mapped[int | None] = columns.integer("Tokens of the request.")
    output_tokens: Mapped[int | None] = columns.integer("Tokens of the response.")
    total_cost: Mapped[Decimal | None] = columns.price("Cost of the request, USD.")
    input_cost: Mapped[Decimal | None] = columns.price("Cost of the input tokens, USD.")
    output_cost: Mapped[Decimal | None] = columns.price("Cost of the output tokens, USD.")
    cached_input_cost: Mapped[Decimal | None] = columns.price("Cost of input tokens read from the cache, USD.")
    cached_output_cost: Mapped[Decimal | None] = columns.price("Cost of output tokens written to the cache, USD.")
    price_source: Mapped[str | None] = columns.string(50, "Where the prices came from.")
    request_headers: Mapped[Any] = columns.json("Headers of the client's request.")
    response_headers: Mapped[Any] = columns.json("Headers of the response.")
    request_body: Mapped[Any] = columns.json("Body of the client's request, as it came.")
    response_status: Mapped[int | None] = columns.integer("HTTP status of the response.")
    response_body: Mapped[str | None] = columns.text("Body of the response, as the client got it.")
    usage_details: Mapped[Any] = columns.json("Token counts as the provider reported them.")
    error_info: Mapped[str | None] = columns.text("What went wrong, if anything did.")
    trace_id: Mapped[str | None] = columns.string(100, "Identifier that ties log lines together.")
    is_stream: Mapped[bool] = mapped_column(server_default=FALSE, comment="Whether it was a stream request.")
    is_completed: Mapped[bool] = mapped_column(server_default=TRUE, comment="False while the request is in progress.")
    user_id: Mapped[str | None] = columns.string(255, "The client's own user, as the request named it.")
    request_url: Mapped[str | None] = columns.string(1000, "URL of the client's request.")
    request_path: Mapped[str | None] = columns.string(200, "Path of the client's request.")
    request_method: Mapped[str | None] = columns.string(10, "HTTP method of the client's request.")
    upstream_url: Mapped[str | None] = columns.string(500, "URL that the provider was asked at.")
    request_protocol: Mapped[str | None] = columns.string(50, "Protocol of the client: openai or anthropic.")
    supplier_protocol: Mapped[str | None] = columns.string(50, "Protocol of the provider: openai or anthropic.")
    converted_request_body: Mapped[Any] = columns.json("Body of the request after protocol conversion.")
    upstream_response_body: Mapped[str | None] = columns.text("Body of the response before protocol conversion.")

    api_key: Mapped[ApiKey | None] = relationship()
    # None, too, for a provider that was deleted: `provider_id` still names it.
    provider: Mapped[ServiceProvider | None] = relationship(
        primaryjoin=lambda: foreign(RequestLog.provider_id) == ServiceProvider.id
    )
    # The ORM deletes the details itself: on a partitioned request_logs there is no foreign key that would.
    details: Mapped["RequestLogDetail | None"] = relationship(back_populates="log", cascade="all, delete-orphan")


class RequestLogDetail(Base):
    """The bodies and headers of one request. The gateway writes them here, and leaves the log's own columns NULL."""

    __tablename__ = "request_log_details"
    __table_args__ = (
        sa.Index("idx_request_log_details_time", "request_time"),
        Partitioned(by="request_time", every="day", keep="7 days", ahead="7 days"),
        {"comment": "Bodies and headers of requests, at most one row per log."},
    )

    # autoincrement: without the foreign key, which a partitioned request_logs can't have, it would be a serial.
    log_id: Mapped[int] = mapped_column(
        BIG_ID,
        sa.ForeignKey("request_logs.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        comment="The log that it belongs to.",
    )
    request_body: Mapped[Any] = columns.json("Body of the client's request, as it came.")
    request_headers: Mapped[Any] = columns.json("Headers of the client's request.")
    response_headers: Mapped[Any] = columns.json("Headers of the response.")
    converted_request_body: Mapped[Any] = columns.json("Body of the request after protocol conversion.")
    usage_details: Mapped[Any] = columns.json("Token counts as the provider reported them.")
    response_body: Mapped[str | None] = columns.text("Body of the response, as the client got it.")
    upstream_response_body: Mapped[str | None] = columns.text("Body of the response before protocol conversion.")
    error_info: Mapped[str | None] = columns.text("What went wrong, if anything did.")

    # The gateway writes a detail within minutes of its log and doesn't know the column.
    request_time: Mapped[dt.datetime] = mapped_column(
        UtcDateTime(), server_default=UTC_NOW, comment="When the row was made, UTC."
    )

    log: Mapped[RequestLog] = relationship(back_populates="details")
