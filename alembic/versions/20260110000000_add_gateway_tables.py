"""Add gateway tables.

Providers, routing, clients and request logs of the LLM gateway.

Revision: 20260110000000
Parent:   20251213000000
"""

import sqlalchemy as sa
from alembic import op

revision = "20260110000000"
down_revision = "20251213000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Integer(), nullable=False, comment="Key of the row."),
        sa.Column("key_name", sa.String(length=100), nullable=False, comment="Name of the client."),
        sa.Column("key_value", sa.String(length=100), nullable=False, comment="The key that the client presents."),
        sa.Column(
            "is_active",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="Whether the row is in use.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(),
            server_default=op.dialect_text(postgresql="timezone('utc', CURRENT_TIMESTAMP)", sqlite="CURRENT_TIMESTAMP"),
            nullable=False,
            comment="When the row was made, UTC.",
        ),
        sa.Column("last_used_at", sa.DateTime(), nullable=True, comment="When it was last used, UTC."),
        sa.PrimaryKeyConstraint("id", name=op.f("api_keys_pkey")),
        sa.UniqueConstraint("key_name", name=op.f("api_keys_key_name_key")),
        sa.UniqueConstraint("key_value", name=op.f("api_keys_key_value_key")),
        comment="Clients of the gateway.",
    )
    op.create_table(
        "model_mappings",
        sa.Column("requested_model", sa.String(length=100), nullable=False, comment="Name that clients ask for."),
        sa.Column(
            "strategy",
            sa.String(length=50),
            server_default="round_robin",
            nullable=False,
            comment="How one of its providers is chosen.",
        ),
        sa.Column(
            "model_type",
            sa.String(length=50),
            server_default="chat",
            nullable=False,
            comment="Kind of model, such as chat.",
        ),
        sa.Column(
            "matching_rules", sa.JSON(none_as_null=True), nullable=True, comment="Rules that a request must match."
        ),
        sa.Column("capabilities", sa.JSON(none_as_null=True), nullable=True, comment="What the model can do."),
        sa.Column(
            "is_active",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="Whether the row is in use.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(),
            server_default=op.dialect_text(postgresql="timezone('utc', CURRENT_TIMESTAMP)", sqlite="CURRENT_TIMESTAMP"),
            nullable=False,
            comment="When the row was made, UTC.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(),
            server_default=op.dialect_text(postgresql="timezone('utc', CURRENT_TIMESTAMP)", sqlite="CURRENT_TIMESTAMP"),
            nullable=False,
            comment="When the row was last changed, UTC.",
        ),
        sa.Column(
            "input_price", sa.Numeric(precision=12, scale=4), nullable=True, comment="USD per 1,000,000 input tokens."
        ),
        sa.Column(
            "output_price", sa.Numeric(precision=12, scale=4), nullable=True, comment="USD per 1,000,000 output tokens."
        ),
        sa.Column("billing_mode", sa.String(length=50), nullable=True, comment="How a request is priced."),
        sa.Column("per_request_price", sa.Numeric(precision=12, scale=4), nullable=True, comment="USD per request."),
        sa.Column(
            "per_image_price", sa.Numeric(precision=12, scale=4), nullable=True, comment="USD per generated image."
        ),
        sa.Column(
            "tiered_pricing",
            sa.JSON(none_as_null=True),
            nullable=True,
            comment="Prices that depend on the number of tokens.",
        ),
        sa.Column(
            "cache_billing_enabled",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether cached tokens have prices of their own.",
        ),
        sa.Column(
            "cached_input_price",
            sa.Numeric(precision=12, scale=4),
            nullable=True,
            comment="USD per 1,000,000 input tokens read from the cache.",
        ),
        sa.Column(
            "cached_output_price",
            sa.Numeric(precision=12, scale=4),
            nullable=True,
            comment="USD per 1,000,000 output tokens written to the cache.",
        ),
        sa.PrimaryKeyConstraint("requested_model", name=op.f("model_mappings_pkey")),
        comment="Model names that clients ask for.",
    )
    op.create_table(
        "service_providers",
        sa.Column("id", sa.Integer(), nullable=False, comment="Key of the row."),
        sa.Column("name", sa.String(length=100), nullable=False, comment="Name of the provider."),
        sa.Column("remark", sa.Text(), nullable=True, comment="Free text for the operator."),
        sa.Column("base_url", sa.String(length=500), nullable=False, comment="Where its API is."),
        sa.Column("protocol", sa.String(length=50), nullable=False, comment="Protocol it speaks: openai or anthropic."),
        sa.Column(
            "api_type",
            sa.String(length=50),
            server_default="chat",
            nullable=False,
            comment="Kind of API, such as chat.",
        ),
        sa.Column("api_key", sa.Text(), nullable=True, comment="API key, in plaintext."),
        sa.Column(
            "proxy_enabled",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether to go through the proxy.",
        ),
        sa.Column("proxy_url", sa.Text(), nullable=True, comment="The proxy to go through."),
        sa.Column(
            "is_active",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="Whether the row is in use.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(),
            server_default=op.dialect_text(postgresql="timezone('utc', CURRENT_TIMESTAMP)", sqlite="CURRENT_TIMESTAMP"),
            nullable=False,
            comment="When the row was made, UTC.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(),
            server_default=op.dialect_text(postgresql="timezone('utc', CURRENT_TIMESTAMP)", sqlite="CURRENT_TIMESTAMP"),
            nullable=False,
            comment="When the row was last changed, UTC.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("service_providers_pkey")),
        sa.UniqueConstraint("name", name=op.f("service_providers_name_key")),
        comment="Upstream LLM providers.",
    )
    op.create_table(
        "model_mapping_providers",
        sa.Column("id", sa.Integer(), nullable=False, comment="Key of the row."),
        sa.Column("requested_model", sa.String(length=100), nullable=False, comment="Name that clients ask for."),
        sa.Column("provider_id", sa.Integer(), nullable=False, comment="The provider that serves it."),
        sa.Column(
            "target_model_name", sa.String(length=100), nullable=False, comment="Name of the model at the provider."
        ),
        sa.Column(
            "provider_rules",
            sa.JSON(none_as_null=True),
            nullable=True,
            comment="Rules that a request must match for this provider.",
        ),
        sa.Column(
            "priority",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Order among the providers of a model.",
        ),
        sa.Column(
            "weight",
            sa.Integer(),
            server_default=sa.text("1"),
            nullable=False,
            comment="Share among providers of equal priority.",
        ),
        sa.Column(
            "is_active",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="Whether the row is in use.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(),
            server_default=op.dialect_text(postgresql="timezone('utc', CURRENT_TIMESTAMP)", sqlite="CURRENT_TIMESTAMP"),
            nullable=False,
            comment="When the row was made, UTC.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(),
            server_default=op.dialect_text(postgresql="timezone('utc', CURRENT_TIMESTAMP)", sqlite="CURRENT_TIMESTAMP"),
            nullable=False,
            comment="When the row was last changed, UTC.",
        ),
        sa.Column(
            "input_price", sa.Numeric(precision=12, scale=4), nullable=True, comment="USD per 1,000,000 input tokens."
        ),
        sa.Column(
            "output_price", sa.Numeric(precision=12, scale=4), nullable=True, comment="USD per 1,000,000 output tokens."
        ),
        sa.Column("billing_mode", sa.String(length=50), nullable=True, comment="How a request is priced."),
        sa.Column("per_request_price", sa.Numeric(precision=12, scale=4), nullable=True, comment="USD per request."),
        sa.Column(
            "per_image_price", sa.Numeric(precision=12, scale=4), nullable=True, comment="USD per generated image."
        ),
        sa.Column(
            "tiered_pricing",
            sa.JSON(none_as_null=True),
            nullable=True,
            comment="Prices that depend on the number of tokens.",
        ),
        sa.Column(
            "cache_billing_enabled",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether cached tokens have prices of their own.",
        ),
        sa.Column(
            "cached_input_price",
            sa.Numeric(precision=12, scale=4),
            nullable=True,
            comment="USD per 1,000,000 input tokens read from the cache.",
        ),
        sa.Column(
            "cached_output_price",
            sa.Numeric(precision=12, scale=4),
            nullable=True,
            comment="USD per 1,000,000 output tokens written to the cache.",
        ),
        sa.ForeignKeyConstraint(
            ["provider_id"],
            ["service_providers.id"],
            name=op.f("model_mapping_providers_provider_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["requested_model"],
            ["model_mappings.requested_model"],
            name=op.f("model_mapping_providers_requested_model_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("model_mapping_providers_pkey")),
        sa.UniqueConstraint("requested_model", "provider_id", name="uq_model_provider"),
        comment="Which provider serves a requested model, and under which name.",
    )
    op.create_table(
        "request_logs",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="Key of the row."
        ),
        sa.Column("request_time", sa.DateTime(), nullable=False, comment="When the request came, UTC."),
        sa.Column("api_key_id", sa.Integer(), nullable=True, comment="The client that sent it."),
        sa.Column("api_key_name", sa.String(length=100), nullable=True, comment="The client's name at that time."),
        sa.Column("requested_model", sa.String(length=100), nullable=True, comment="Model that the client asked for."),
        sa.Column(
            "target_model", sa.String(length=100), nullable=True, comment="Model that the provider was asked for."
        ),
        sa.Column("provider_id", sa.Integer(), nullable=True, comment="The provider that served it."),
        sa.Column("provider_name", sa.String(length=100), nullable=True, comment="The provider's name at that time."),
        sa.Column(
            "retry_count",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="How often it was tried again.",
        ),
        sa.Column(
            "matched_provider_count", sa.Integer(), nullable=True, comment="How many providers could have served it."
        ),
        sa.Column(
            "first_byte_delay_ms",
            sa.Integer(),
            nullable=True,
            comment="Milliseconds until the first byte of the response.",
        ),
        sa.Column("total_time_ms", sa.Integer(), nullable=True, comment="Milliseconds until the end of the response."),
        sa.Column("input_tokens", sa.Integer(), nullable=True, comment="Tokens of the request."),
        sa.Column("output_tokens", sa.Integer(), nullable=True, comment="Tokens of the response."),
        sa.Column("total_cost", sa.Numeric(precision=12, scale=4), nullable=True, comment="Cost of the request, USD."),
        sa.Column(
            "input_cost", sa.Numeric(precision=12, scale=4), nullable=True, comment="Cost of the input tokens, USD."
        ),
        sa.Column(
            "output_cost", sa.Numeric(precision=12, scale=4), nullable=True, comment="Cost of the output tokens, USD."
        ),
        sa.Column(
            "cached_input_cost",
            sa.Numeric(precision=12, scale=4),
            nullable=True,
            comment="Cost of input tokens read from the cache, USD.",
        ),
        sa.Column(
            "cached_output_cost",
            sa.Numeric(precision=12, scale=4),
            nullable=True,
            comment="Cost of output tokens written to the cache, USD.",
        ),
        sa.Column("price_source", sa.String(length=50), nullable=True, comment="Where the prices came from."),
        sa.Column(
            "request_headers", sa.JSON(none_as_null=True), nullable=True, comment="Headers of the client's request."
        ),
        sa.Column("response_headers", sa.JSON(none_as_null=True), nullable=True, comment="Headers of the response."),
        sa.Column(
            "request_body",
            sa.JSON(none_as_null=True),
            nullable=True,
            comment="Body of the client's request, as it came.",
        ),
        sa.Column("response_status", sa.Integer(), nullable=True, comment="HTTP status of the response."),
        sa.Column("response_body", sa.Text(), nullable=True, comment="Body of the response, as the client got it."),
        sa.Column(
            "usage_details",
            sa.JSON(none_as_null=True),
            nullable=True,
            comment="Token counts as the provider reported them.",
        ),
        sa.Column("error_info", sa.Text(), nullable=True, comment="What went wrong, if anything did."),
        sa.Column("trace_id", sa.String(length=100), nullable=True, comment="Identifier that ties log lines together."),
        sa.Column("request_path", sa.String(length=200), nullable=True, comment="Path of the client's request."),
        sa.Column(
            "request_method", sa.String(length=10), nullable=True, comment="HTTP method of the client's request."
        ),
        sa.Column("upstream_url", sa.String(length=500), nullable=True, comment="URL that the provider was asked at."),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_keys.id"], name=op.f("request_logs_api_key_id_fkey")),
        sa.ForeignKeyConstraint(["provider_id"], ["service_providers.id"], name=op.f("request_logs_provider_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("request_logs_pkey")),
        comment="One row per proxied request.",
    )
    op.create_index("idx_request_logs_api_key", "request_logs", ["api_key_id"], unique=False)
    op.create_index("idx_request_logs_model", "request_logs", ["requested_model"], unique=False)
    op.create_index("idx_request_logs_time", "request_logs", ["request_time"], unique=False)
    op.create_index("idx_request_logs_time_apikey", "request_logs", ["request_time", "api_key_id"], unique=False)
    op.create_index("idx_request_logs_time_model", "request_logs", ["request_time", "requested_model"], unique=False)
    op.create_index("idx_request_logs_time_provider", "request_logs", ["request_time", "provider_id"], unique=False)
    op.create_index("idx_request_logs_time_status", "request_logs", ["request_time", "response_status"], unique=False)


def downgrade() -> None:
    op.drop_index("idx_request_logs_time_status", table_name="request_logs")
    op.drop_index("idx_request_logs_time_provider", table_name="request_logs")
    op.drop_index("idx_request_logs_time_model", table_name="request_logs")
    op.drop_index("idx_request_logs_time_apikey", table_name="request_logs")
    op.drop_index("idx_request_logs_time", table_name="request_logs")
    op.drop_index("idx_request_logs_model", table_name="request_logs")
    op.drop_index("idx_request_logs_api_key", table_name="request_logs")
    op.drop_table("request_logs")
    op.drop_table("model_mapping_providers")
    op.drop_table("service_providers")
    op.drop_table("model_mappings")
    op.drop_table("api_keys")
