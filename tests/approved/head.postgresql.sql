BEGIN;

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 20241211000000

CREATE TABLE users (
    id UUID DEFAULT gen_random_uuid() NOT NULL, 
    github_user_id BIGINT NOT NULL, 
    github_access_token TEXT, 
    github_refresh_token TEXT, 
    github_token_expires_at TIMESTAMP(6) WITH TIME ZONE, 
    is_whitelisted BOOLEAN DEFAULT false NOT NULL, 
    created_at TIMESTAMP(6) WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    updated_at TIMESTAMP(6) WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    CONSTRAINT users_pkey PRIMARY KEY (id), 
    CONSTRAINT users_github_user_id_key UNIQUE (github_user_id)
);

COMMENT ON TABLE users IS 'GitHub accounts that have signed in.';

COMMENT ON COLUMN users.id IS 'Key of the row, made by the application.';

COMMENT ON COLUMN users.github_user_id IS 'Id of the account at GitHub.';

COMMENT ON COLUMN users.github_access_token IS 'GitHub access token, in plaintext.';

COMMENT ON COLUMN users.github_refresh_token IS 'GitHub refresh token, in plaintext.';

COMMENT ON COLUMN users.github_token_expires_at IS 'When the access token expires.';

COMMENT ON COLUMN users.is_whitelisted IS 'Whether the account may sign in.';

COMMENT ON COLUMN users.created_at IS 'When the row was made.';

COMMENT ON COLUMN users.updated_at IS 'When the row was last changed, kept by a trigger.';

CREATE INDEX users_created_at_idx ON users (created_at);

CREATE INDEX users_is_whitelisted_idx ON users (is_whitelisted);

CREATE OR REPLACE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.updated_at = CURRENT_TIMESTAMP; RETURN NEW; END;$$;

CREATE TRIGGER update_users_updated_at BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

INSERT INTO alembic_version (version_num) VALUES ('20241211000000') RETURNING alembic_version.version_num;

COMMIT;

BEGIN;

-- Running upgrade 20241211000000 -> 20251212003115

CREATE TABLE service_audit_logs (
    id UUID DEFAULT gen_random_uuid() NOT NULL, 
    service_id UUID NOT NULL, 
    user_id UUID NOT NULL, 
    action VARCHAR(100) NOT NULL, 
    success BOOLEAN DEFAULT true NOT NULL, 
    error_message TEXT, 
    ip_address VARCHAR(45), 
    user_agent TEXT, 
    created_at TIMESTAMP(6) WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    CONSTRAINT service_audit_logs_pkey PRIMARY KEY (id)
);

COMMENT ON TABLE service_audit_logs IS 'Every attempt of a service to fetch a token, never with a token in it.';

COMMENT ON COLUMN service_audit_logs.id IS 'Key of the row, made by the application.';

COMMENT ON COLUMN service_audit_logs.service_id IS 'The service that asked.';

COMMENT ON COLUMN service_audit_logs.user_id IS 'The user whose token it asked for.';

COMMENT ON COLUMN service_audit_logs.action IS 'What the service wanted to do.';

COMMENT ON COLUMN service_audit_logs.success IS 'Whether it was let.';

COMMENT ON COLUMN service_audit_logs.error_message IS 'Why it was not.';

COMMENT ON COLUMN service_audit_logs.ip_address IS 'Address that the request came from.';

COMMENT ON COLUMN service_audit_logs.user_agent IS 'Program that sent the request.';

COMMENT ON COLUMN service_audit_logs.created_at IS 'When the row was made.';

CREATE INDEX service_audit_logs_created_at_idx ON service_audit_logs (created_at);

CREATE INDEX service_audit_logs_service_id_idx ON service_audit_logs (service_id);

CREATE INDEX service_audit_logs_success_idx ON service_audit_logs (success);

CREATE INDEX service_audit_logs_user_id_idx ON service_audit_logs (user_id);

CREATE TABLE service_registry (
    id UUID DEFAULT gen_random_uuid() NOT NULL, 
    service_identifier VARCHAR(255) NOT NULL, 
    hashed_api_key TEXT NOT NULL, 
    allowed_scopes TEXT[] DEFAULT ARRAY[]::text[], 
    is_active BOOLEAN DEFAULT true NOT NULL, 
    description TEXT, 
    created_at TIMESTAMP(6) WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    updated_at TIMESTAMP(6) WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    last_used_at TIMESTAMP(6) WITH TIME ZONE, 
    CONSTRAINT service_registry_pkey PRIMARY KEY (id), 
    CONSTRAINT service_registry_service_identifier_key UNIQUE (service_identifier)
);

COMMENT ON TABLE service_registry IS 'Downstream services that may fetch a user''s token.';

COMMENT ON COLUMN service_registry.id IS 'Key of the row, made by the application.';

COMMENT ON COLUMN service_registry.service_identifier IS 'Name of the service.';

COMMENT ON COLUMN service_registry.hashed_api_key IS 'bcrypt hash of the service''s API key.';

COMMENT ON COLUMN service_registry.allowed_scopes IS 'What the service may ask for.';

COMMENT ON COLUMN service_registry.is_active IS 'False marks a service as deleted.';

COMMENT ON COLUMN service_registry.description IS 'Free text about the service.';

COMMENT ON COLUMN service_registry.created_at IS 'When the row was made.';

COMMENT ON COLUMN service_registry.updated_at IS 'When the row was last changed, kept by a trigger.';

COMMENT ON COLUMN service_registry.last_used_at IS 'When the service last fetched a token.';

CREATE INDEX service_registry_is_active_idx ON service_registry (is_active);

CREATE INDEX service_registry_service_identifier_idx ON service_registry (service_identifier);

CREATE TRIGGER update_service_registry_updated_at BEFORE UPDATE ON service_registry FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

UPDATE alembic_version SET version_num='20251212003115' WHERE alembic_version.version_num = '20241211000000';

COMMIT;

BEGIN;

-- Running upgrade 20251212003115 -> 20251212003212

ALTER TABLE service_audit_logs ALTER COLUMN id DROP DEFAULT;

ALTER TABLE service_registry ALTER COLUMN id DROP DEFAULT;

ALTER TABLE service_registry ALTER COLUMN updated_at DROP DEFAULT;

ALTER TABLE users ALTER COLUMN id DROP DEFAULT;

ALTER TABLE users ALTER COLUMN updated_at DROP DEFAULT;

DROP INDEX users_created_at_idx;

DROP INDEX users_is_whitelisted_idx;

UPDATE alembic_version SET version_num='20251212003212' WHERE alembic_version.version_num = '20251212003115';

COMMIT;

BEGIN;

-- Running upgrade 20251212003212 -> 20251213000000

DO $$ BEGIN IF EXISTS (SELECT 1 FROM users WHERE (github_access_token IS NOT NULL AND github_access_token <> '' AND (NOT strpos(github_access_token COLLATE "C", ':') > 0 OR (github_access_token COLLATE "C" !~ '^[ \t\n\r\f\v]*[A-Za-z0-9+/_-]{43}=?:'))) OR (github_refresh_token IS NOT NULL AND github_refresh_token <> '' AND (NOT strpos(github_refresh_token COLLATE "C", ':') > 0 OR (github_refresh_token COLLATE "C" !~ '^[ \t\n\r\f\v]*[A-Za-z0-9+/_-]{43}=?:')))) THEN RAISE EXCEPTION 'users holds secrets in plaintext, which SQL cannot encrypt. Run: alembic upgrade head'; END IF; END $$;

COMMENT ON COLUMN users.github_access_token IS 'GitHub access token, encrypted (AES-256-GCM).';

COMMENT ON COLUMN users.github_refresh_token IS 'GitHub refresh token, encrypted (AES-256-GCM).';

UPDATE alembic_version SET version_num='20251213000000' WHERE alembic_version.version_num = '20251212003212';

COMMIT;

BEGIN;

-- Running upgrade 20251213000000 -> 20260110000000

CREATE TABLE api_keys (
    id SERIAL NOT NULL, 
    key_name VARCHAR(100) NOT NULL, 
    key_value VARCHAR(100) NOT NULL, 
    is_active BOOLEAN DEFAULT true NOT NULL, 
    created_at TIMESTAMP WITHOUT TIME ZONE DEFAULT timezone('utc', CURRENT_TIMESTAMP) NOT NULL, 
    last_used_at TIMESTAMP WITHOUT TIME ZONE, 
    CONSTRAINT api_keys_pkey PRIMARY KEY (id), 
    CONSTRAINT api_keys_key_name_key UNIQUE (key_name), 
    CONSTRAINT api_keys_key_value_key UNIQUE (key_value)
);

COMMENT ON TABLE api_keys IS 'Clients of the gateway.';

COMMENT ON COLUMN api_keys.id IS 'Key of the row.';

COMMENT ON COLUMN api_keys.key_name IS 'Name of the client.';

COMMENT ON COLUMN api_keys.key_value IS 'The key that the client presents.';

COMMENT ON COLUMN api_keys.is_active IS 'Whether the row is in use.';

COMMENT ON COLUMN api_keys.created_at IS 'When the row was made, UTC.';

COMMENT ON COLUMN api_keys.last_used_at IS 'When it was last used, UTC.';

CREATE TABLE model_mappings (
    requested_model VARCHAR(100) NOT NULL, 
    strategy VARCHAR(50) DEFAULT 'round_robin' NOT NULL, 
    model_type VARCHAR(50) DEFAULT 'chat' NOT NULL, 
    matching_rules JSON, 
    capabilities JSON, 
    is_active BOOLEAN DEFAULT true NOT NULL, 
    created_at TIMESTAMP WITHOUT TIME ZONE DEFAULT timezone('utc', CURRENT_TIMESTAMP) NOT NULL, 
    updated_at TIMESTAMP WITHOUT TIME ZONE DEFAULT timezone('utc', CURRENT_TIMESTAMP) NOT NULL, 
    input_price NUMERIC(12, 4), 
    output_price NUMERIC(12, 4), 
    billing_mode VARCHAR(50), 
    per_request_price NUMERIC(12, 4), 
    per_image_price NUMERIC(12, 4), 
    tiered_pricing JSON, 
    cache_billing_enabled BOOLEAN DEFAULT false NOT NULL, 
    cached_input_price NUMERIC(12, 4), 
    cached_output_price NUMERIC(12, 4), 
    CONSTRAINT model_mappings_pkey PRIMARY KEY (requested_model)
);

COMMENT ON TABLE model_mappings IS 'Model names that clients ask for.';

COMMENT ON COLUMN model_mappings.requested_model IS 'Name that clients ask for.';

COMMENT ON COLUMN model_mappings.strategy IS 'How one of its providers is chosen.';

COMMENT ON COLUMN model_mappings.model_type IS 'Kind of model, such as chat.';

COMMENT ON COLUMN model_mappings.matching_rules IS 'Rules that a request must match.';

COMMENT ON COLUMN model_mappings.capabilities IS 'What the model can do.';

COMMENT ON COLUMN model_mappings.is_active IS 'Whether the row is in use.';

COMMENT ON COLUMN model_mappings.created_at IS 'When the row was made, UTC.';

COMMENT ON COLUMN model_mappings.updated_at IS 'When the row was last changed, UTC.';

COMMENT ON COLUMN model_mappings.input_price IS 'USD per 1,000,000 input tokens.';

COMMENT ON COLUMN model_mappings.output_price IS 'USD per 1,000,000 output tokens.';

COMMENT ON COLUMN model_mappings.billing_mode IS 'How a request is priced.';

COMMENT ON COLUMN model_mappings.per_request_price IS 'USD per request.';

COMMENT ON COLUMN model_mappings.per_image_price IS 'USD per generated image.';

COMMENT ON COLUMN model_mappings.tiered_pricing IS 'Prices that depend on the number of tokens.';

COMMENT ON COLUMN model_mappings.cache_billing_enabled IS 'Whether cached tokens have prices of their own.';

COMMENT ON COLUMN model_mappings.cached_input_price IS 'USD per 1,000,000 input tokens read from the cache.';

COMMENT ON COLUMN model_mappings.cached_output_price IS 'USD per 1,000,000 output tokens written to the cache.';

CREATE TABLE service_providers (
    id SERIAL NOT NULL, 
    name VARCHAR(100) NOT NULL, 
    remark TEXT, 
    base_url VARCHAR(500) NOT NULL, 
    protocol VARCHAR(50) NOT NULL, 
    api_type VARCHAR(50) DEFAULT 'chat' NOT NULL, 
    api_key TEXT, 
    proxy_enabled BOOLEAN DEFAULT false NOT NULL, 
    proxy_url TEXT, 
    is_active BOOLEAN DEFAULT true NOT NULL, 
    created_at TIMESTAMP WITHOUT TIME ZONE DEFAULT timezone('utc', CURRENT_TIMESTAMP) NOT NULL, 
    updated_at TIMESTAMP WITHOUT TIME ZONE DEFAULT timezone('utc', CURRENT_TIMESTAMP) NOT NULL, 
    CONSTRAINT service_providers_pkey PRIMARY KEY (id), 
    CONSTRAINT service_providers_name_key UNIQUE (name)
);

COMMENT ON TABLE service_providers IS 'Upstream LLM providers.';

COMMENT ON COLUMN service_providers.id IS 'Key of the row.';

COMMENT ON COLUMN service_providers.name IS 'Name of the provider.';

COMMENT ON COLUMN service_providers.remark IS 'Free text for the operator.';

COMMENT ON COLUMN service_providers.base_url IS 'Where its API is.';

COMMENT ON COLUMN service_providers.protocol IS 'Protocol it speaks: openai or anthropic.';

COMMENT ON COLUMN service_providers.api_type IS 'Kind of API, such as chat.';

COMMENT ON COLUMN service_providers.api_key IS 'API key, in plaintext.';

COMMENT ON COLUMN service_providers.proxy_enabled IS 'Whether to go through the proxy.';

COMMENT ON COLUMN service_providers.proxy_url IS 'The proxy to go through.';

COMMENT ON COLUMN service_providers.is_active IS 'Whether the row is in use.';

COMMENT ON COLUMN service_providers.created_at IS 'When the row was made, UTC.';

COMMENT ON COLUMN service_providers.updated_at IS 'When the row was last changed, UTC.';

CREATE TABLE model_mapping_providers (
    id SERIAL NOT NULL, 
    requested_model VARCHAR(100) NOT NULL, 
    provider_id INTEGER NOT NULL, 
    target_model_name VARCHAR(100) NOT NULL, 
    provider_rules JSON, 
    priority INTEGER DEFAULT 0 NOT NULL, 
    weight INTEGER DEFAULT 1 NOT NULL, 
    is_active BOOLEAN DEFAULT true NOT NULL, 
    created_at TIMESTAMP WITHOUT TIME ZONE DEFAULT timezone('utc', CURRENT_TIMESTAMP) NOT NULL, 
    updated_at TIMESTAMP WITHOUT TIME ZONE DEFAULT timezone('utc', CURRENT_TIMESTAMP) NOT NULL, 
    input_price NUMERIC(12, 4), 
    output_price NUMERIC(12, 4), 
    billing_mode VARCHAR(50), 
    per_request_price NUMERIC(12, 4), 
    per_image_price NUMERIC(12, 4), 
    tiered_pricing JSON, 
    cache_billing_enabled BOOLEAN DEFAULT false NOT NULL, 
    cached_input_price NUMERIC(12, 4), 
    cached_output_price NUMERIC(12, 4), 
    CONSTRAINT model_mapping_providers_pkey PRIMARY KEY (id), 
    CONSTRAINT model_mapping_providers_provider_id_fkey FOREIGN KEY(provider_id) REFERENCES service_providers (id) ON DELETE CASCADE, 
    CONSTRAINT model_mapping_providers_requested_model_fkey FOREIGN KEY(requested_model) REFERENCES model_mappings (requested_model) ON DELETE CASCADE, 
    CONSTRAINT uq_model_provider UNIQUE (requested_model, provider_id)
);

COMMENT ON TABLE model_mapping_providers IS 'Which provider serves a requested model, and under which name.';

COMMENT ON COLUMN model_mapping_providers.id IS 'Key of the row.';

COMMENT ON COLUMN model_mapping_providers.requested_model IS 'Name that clients ask for.';

COMMENT ON COLUMN model_mapping_providers.provider_id IS 'The provider that serves it.';

COMMENT ON COLUMN model_mapping_providers.target_model_name IS 'Name of the model at the provider.';

COMMENT ON COLUMN model_mapping_providers.provider_rules IS 'Rules that a request must match for this provider.';

COMMENT ON COLUMN model_mapping_providers.priority IS 'Order among the providers of a model.';

COMMENT ON COLUMN model_mapping_providers.weight IS 'Share among providers of equal priority.';

COMMENT ON COLUMN model_mapping_providers.is_active IS 'Whether the row is in use.';

COMMENT ON COLUMN model_mapping_providers.created_at IS 'When the row was made, UTC.';

COMMENT ON COLUMN model_mapping_providers.updated_at IS 'When the row was last changed, UTC.';

COMMENT ON COLUMN model_mapping_providers.input_price IS 'USD per 1,000,000 input tokens.';

COMMENT ON COLUMN model_mapping_providers.output_price IS 'USD per 1,000,000 output tokens.';

COMMENT ON COLUMN model_mapping_providers.billing_mode IS 'How a request is priced.';

COMMENT ON COLUMN model_mapping_providers.per_request_price IS 'USD per request.';

COMMENT ON COLUMN model_mapping_providers.per_image_price IS 'USD per generated image.';

COMMENT ON COLUMN model_mapping_providers.tiered_pricing IS 'Prices that depend on the number of tokens.';

COMMENT ON COLUMN model_mapping_providers.cache_billing_enabled IS 'Whether cached tokens have prices of their own.';

COMMENT ON COLUMN model_mapping_providers.cached_input_price IS 'USD per 1,000,000 input tokens read from the cache.';

COMMENT ON COLUMN model_mapping_providers.cached_output_price IS 'USD per 1,000,000 output tokens written to the cache.';

CREATE TABLE request_logs (
    id BIGSERIAL NOT NULL, 
    request_time TIMESTAMP WITHOUT TIME ZONE NOT NULL, 
    api_key_id INTEGER, 
    api_key_name VARCHAR(100), 
    requested_model VARCHAR(100), 
    target_model VARCHAR(100), 
    provider_id INTEGER, 
    provider_name VARCHAR(100), 
    retry_count INTEGER DEFAULT 0 NOT NULL, 
    matched_provider_count INTEGER, 
    first_byte_delay_ms INTEGER, 
    total_time_ms INTEGER, 
    input_tokens INTEGER, 
    output_tokens INTEGER, 
    total_cost NUMERIC(12, 4), 
    input_cost NUMERIC(12, 4), 
    output_cost NUMERIC(12, 4), 
    cached_input_cost NUMERIC(12, 4), 
    cached_output_cost NUMERIC(12, 4), 
    price_source VARCHAR(50), 
    request_headers JSON, 
    response_headers JSON, 
    request_body JSON, 
    response_status INTEGER, 
    response_body TEXT, 
    usage_details JSON, 
    error_info TEXT, 
    trace_id VARCHAR(100), 
    request_path VARCHAR(200), 
    request_method VARCHAR(10), 
    upstream_url VARCHAR(500), 
    CONSTRAINT request_logs_pkey PRIMARY KEY (id), 
    CONSTRAINT request_logs_api_key_id_fkey FOREIGN KEY(api_key_id) REFERENCES api_keys (id), 
    CONSTRAINT request_logs_provider_id_fkey FOREIGN KEY(provider_id) REFERENCES service_providers (id)
);

COMMENT ON TABLE request_logs IS 'One row per proxied request.';

COMMENT ON COLUMN request_logs.id IS 'Key of the row.';

COMMENT ON COLUMN request_logs.request_time IS 'When the request came, UTC.';

COMMENT ON COLUMN request_logs.api_key_id IS 'The client that sent it.';

COMMENT ON COLUMN request_logs.api_key_name IS 'The client''s name at that time.';

COMMENT ON COLUMN request_logs.requested_model IS 'Model that the client asked for.';

COMMENT ON COLUMN request_logs.target_model IS 'Model that the provider was asked for.';

COMMENT ON COLUMN request_logs.provider_id IS 'The provider that served it.';

COMMENT ON COLUMN request_logs.provider_name IS 'The provider''s name at that time.';

COMMENT ON COLUMN request_logs.retry_count IS 'How often it was tried again.';

COMMENT ON COLUMN request_logs.matched_provider_count IS 'How many providers could have served it.';

COMMENT ON COLUMN request_logs.first_byte_delay_ms IS 'Milliseconds until the first byte of the response.';

COMMENT ON COLUMN request_logs.total_time_ms IS 'Milliseconds until the end of the response.';

COMMENT ON COLUMN request_logs.input_tokens IS 'Tokens of the request.';

COMMENT ON COLUMN request_logs.output_tokens IS 'Tokens of the response.';

COMMENT ON COLUMN request_logs.total_cost IS 'Cost of the request, USD.';

COMMENT ON COLUMN request_logs.input_cost IS 'Cost of the input tokens, USD.';

COMMENT ON COLUMN request_logs.output_cost IS 'Cost of the output tokens, USD.';

COMMENT ON COLUMN request_logs.cached_input_cost IS 'Cost of input tokens read from the cache, USD.';

COMMENT ON COLUMN request_logs.cached_output_cost IS 'Cost of output tokens written to the cache, USD.';

COMMENT ON COLUMN request_logs.price_source IS 'Where the prices came from.';

COMMENT ON COLUMN request_logs.request_headers IS 'Headers of the client''s request.';

COMMENT ON COLUMN request_logs.response_headers IS 'Headers of the response.';

COMMENT ON COLUMN request_logs.request_body IS 'Body of the client''s request, as it came.';

COMMENT ON COLUMN request_logs.response_status IS 'HTTP status of the response.';

COMMENT ON COLUMN request_logs.response_body IS 'Body of the response, as the client got it.';

COMMENT ON COLUMN request_logs.usage_details IS 'Token counts as the provider reported them.';

COMMENT ON COLUMN request_logs.error_info IS 'What went wrong, if anything did.';

COMMENT ON COLUMN request_logs.trace_id IS 'Identifier that ties log lines together.';

COMMENT ON COLUMN request_logs.request_path IS 'Path of the client''s request.';

COMMENT ON COLUMN request_logs.request_method IS 'HTTP method of the client''s request.';

COMMENT ON COLUMN request_logs.upstream_url IS 'URL that the provider was asked at.';

CREATE INDEX idx_request_logs_api_key ON request_logs (api_key_id);

CREATE INDEX idx_request_logs_model ON request_logs (requested_model);

CREATE INDEX idx_request_logs_time ON request_logs (request_time);

CREATE INDEX idx_request_logs_time_apikey ON request_logs (request_time, api_key_id);

CREATE INDEX idx_request_logs_time_model ON request_logs (request_time, requested_model);

CREATE INDEX idx_request_logs_time_provider ON request_logs (request_time, provider_id);

CREATE INDEX idx_request_logs_time_status ON request_logs (request_time, response_status);

UPDATE alembic_version SET version_num='20260110000000' WHERE alembic_version.version_num = '20251213000000';

COMMIT;

BEGIN;

-- Running upgrade 20260110000000 -> 20260111000000

ALTER TABLE request_logs ADD COLUMN is_stream BOOLEAN DEFAULT false NOT NULL;

COMMENT ON COLUMN request_logs.is_stream IS 'Whether it was a stream request.';

UPDATE alembic_version SET version_num='20260111000000' WHERE alembic_version.version_num = '20260110000000';

COMMIT;

BEGIN;

-- Running upgrade 20260111000000 -> 20260112000000

ALTER TABLE service_providers ADD COLUMN extra_headers JSON;

COMMENT ON COLUMN service_providers.extra_headers IS 'Extra HTTP headers for this provider.';

UPDATE alembic_version SET version_num='20260112000000' WHERE alembic_version.version_num = '20260111000000';

COMMIT;

BEGIN;

-- Running upgrade 20260112000000 -> 20260121000000

ALTER TABLE request_logs ADD COLUMN request_protocol VARCHAR(50);

COMMENT ON COLUMN request_logs.request_protocol IS 'Protocol of the client: openai or anthropic.';

ALTER TABLE request_logs ADD COLUMN supplier_protocol VARCHAR(50);

COMMENT ON COLUMN request_logs.supplier_protocol IS 'Protocol of the provider: openai or anthropic.';

ALTER TABLE request_logs ADD COLUMN converted_request_body JSON;

COMMENT ON COLUMN request_logs.converted_request_body IS 'Body of the request after protocol conversion.';

ALTER TABLE request_logs ADD COLUMN upstream_response_body TEXT;

COMMENT ON COLUMN request_logs.upstream_response_body IS 'Body of the response before protocol conversion.';

UPDATE alembic_version SET version_num='20260121000000' WHERE alembic_version.version_num = '20260112000000';

COMMIT;

BEGIN;

-- Running upgrade 20260121000000 -> 20260123000000

ALTER TABLE model_mapping_providers DROP CONSTRAINT uq_model_provider;

UPDATE alembic_version SET version_num='20260123000000' WHERE alembic_version.version_num = '20260121000000';

COMMIT;

BEGIN;

-- Running upgrade 20260123000000 -> 20260131000000

ALTER TABLE service_providers ADD COLUMN provider_options JSON;

COMMENT ON COLUMN service_providers.provider_options IS 'Provider-specific options.';

UPDATE alembic_version SET version_num='20260131000000' WHERE alembic_version.version_num = '20260123000000';

COMMIT;

BEGIN;

-- Running upgrade 20260131000000 -> 20260228000000

DO $$ BEGIN IF EXISTS (SELECT 1 FROM service_providers WHERE (api_key IS NOT NULL AND api_key <> '' AND NOT starts_with(api_key COLLATE "C", 'enc:') AND (NOT strpos(api_key COLLATE "C", ':') > 0 OR (api_key COLLATE "C" !~ '^[ \t\n\r\f\v]*[Ee][Nn][Cc]:')))) THEN RAISE EXCEPTION 'service_providers holds secrets in plaintext, which SQL cannot encrypt. Run: alembic upgrade head'; END IF; END $$;

COMMENT ON COLUMN service_providers.api_key IS 'API key, encrypted (AES-256-GCM).';

UPDATE alembic_version SET version_num='20260228000000' WHERE alembic_version.version_num = '20260131000000';

COMMIT;

BEGIN;

-- Running upgrade 20260228000000 -> 20260301090000

CREATE TABLE revoked_tokens (
    id UUID NOT NULL, 
    jti VARCHAR(255) NOT NULL, 
    user_id UUID NOT NULL, 
    token_issued_at TIMESTAMP(6) WITH TIME ZONE NOT NULL, 
    token_expires_at TIMESTAMP(6) WITH TIME ZONE NOT NULL, 
    revoked_at TIMESTAMP(6) WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    revoked_by VARCHAR(255), 
    reason TEXT, 
    CONSTRAINT revoked_tokens_pkey PRIMARY KEY (id), 
    CONSTRAINT revoked_tokens_jti_key UNIQUE (jti)
);

COMMENT ON TABLE revoked_tokens IS 'Tokens of the auth service that are refused before they expire.';

COMMENT ON COLUMN revoked_tokens.id IS 'Key of the row, made by the application.';

COMMENT ON COLUMN revoked_tokens.jti IS 'Identifier of the token, its claim jti.';

COMMENT ON COLUMN revoked_tokens.user_id IS 'The user that the token was issued to.';

COMMENT ON COLUMN revoked_tokens.token_issued_at IS 'When the token was issued.';

COMMENT ON COLUMN revoked_tokens.token_expires_at IS 'When it expires.';

COMMENT ON COLUMN revoked_tokens.revoked_at IS 'When it was revoked.';

COMMENT ON COLUMN revoked_tokens.revoked_by IS 'Who revoked it.';

COMMENT ON COLUMN revoked_tokens.reason IS 'Why it was revoked.';

CREATE INDEX revoked_tokens_jti_idx ON revoked_tokens (jti);

CREATE INDEX revoked_tokens_revoked_at_idx ON revoked_tokens (revoked_at);

CREATE INDEX revoked_tokens_token_expires_at_idx ON revoked_tokens (token_expires_at);

CREATE INDEX revoked_tokens_user_id_idx ON revoked_tokens (user_id);

UPDATE alembic_version SET version_num='20260301090000' WHERE alembic_version.version_num = '20260228000000';

COMMIT;

BEGIN;

-- Running upgrade 20260301090000 -> 20260301090100

CREATE TABLE jwt_key_rotation (
    id UUID NOT NULL, 
    key_identifier VARCHAR(255) NOT NULL, 
    key_type VARCHAR(50) NOT NULL, 
    last_rotated_at TIMESTAMP(6) WITH TIME ZONE NOT NULL, 
    next_rotation_due TIMESTAMP(6) WITH TIME ZONE, 
    is_active BOOLEAN DEFAULT true NOT NULL, 
    rotation_interval_days INTEGER, 
    metadata TEXT, 
    created_at TIMESTAMP(6) WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    updated_at TIMESTAMP(6) WITH TIME ZONE NOT NULL, 
    CONSTRAINT jwt_key_rotation_pkey PRIMARY KEY (id), 
    CONSTRAINT jwt_key_rotation_key_identifier_key UNIQUE (key_identifier)
);

COMMENT ON TABLE jwt_key_rotation IS 'Keys that the auth service signs tokens with, never a key itself.';

COMMENT ON COLUMN jwt_key_rotation.id IS 'Key of the row, made by the application.';

COMMENT ON COLUMN jwt_key_rotation.key_identifier IS 'Name of the key, its kid.';

COMMENT ON COLUMN jwt_key_rotation.key_type IS 'Kind of key.';

COMMENT ON COLUMN jwt_key_rotation.last_rotated_at IS 'When the key was last replaced.';

COMMENT ON COLUMN jwt_key_rotation.next_rotation_due IS 'When it is to be replaced next.';

COMMENT ON COLUMN jwt_key_rotation.is_active IS 'Whether tokens are signed with it.';

COMMENT ON COLUMN jwt_key_rotation.rotation_interval_days IS 'Days from one replacement to the next.';

COMMENT ON COLUMN jwt_key_rotation.metadata IS 'Free text about the key.';

COMMENT ON COLUMN jwt_key_rotation.created_at IS 'When the row was made.';

COMMENT ON COLUMN jwt_key_rotation.updated_at IS 'When the row was last changed, kept by a trigger.';

CREATE INDEX jwt_key_rotation_is_active_idx ON jwt_key_rotation (is_active);

CREATE INDEX jwt_key_rotation_key_identifier_idx ON jwt_key_rotation (key_identifier);

CREATE INDEX jwt_key_rotation_next_rotation_due_idx ON jwt_key_rotation (next_rotation_due);

CREATE TRIGGER update_jwt_key_rotation_updated_at BEFORE UPDATE ON jwt_key_rotation FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

UPDATE alembic_version SET version_num='20260301090100' WHERE alembic_version.version_num = '20260301090000';

COMMIT;

BEGIN;

-- Running upgrade 20260301090100 -> 20260301090200

ALTER TABLE service_registry ADD COLUMN last_api_key_rotated_at TIMESTAMP(6) WITH TIME ZONE;

COMMENT ON COLUMN service_registry.last_api_key_rotated_at IS 'When its API key was last replaced.';

UPDATE alembic_version SET version_num='20260301090200' WHERE alembic_version.version_num = '20260301090100';

COMMIT;

BEGIN;

-- Running upgrade 20260301090200 -> 20260301090300

CREATE TABLE key_value_store (
    key VARCHAR(255) NOT NULL, 
    value TEXT NOT NULL, 
    expires_at TIMESTAMP WITHOUT TIME ZONE, 
    created_at TIMESTAMP WITHOUT TIME ZONE DEFAULT timezone('utc', CURRENT_TIMESTAMP) NOT NULL, 
    updated_at TIMESTAMP WITHOUT TIME ZONE DEFAULT timezone('utc', CURRENT_TIMESTAMP) NOT NULL, 
    CONSTRAINT key_value_store_pkey PRIMARY KEY (key)
);

COMMENT ON TABLE key_value_store IS 'Values that the gateway keeps between requests.';

COMMENT ON COLUMN key_value_store.key IS 'Name of the value.';

COMMENT ON COLUMN key_value_store.value IS 'The value, as the gateway wrote it.';

COMMENT ON COLUMN key_value_store.expires_at IS 'When it may be removed, UTC; never if it is NULL.';

COMMENT ON COLUMN key_value_store.created_at IS 'When the row was made, UTC.';

COMMENT ON COLUMN key_value_store.updated_at IS 'When the row was last changed, UTC.';

CREATE INDEX idx_kv_expires_at ON key_value_store (expires_at);

UPDATE alembic_version SET version_num='20260301090300' WHERE alembic_version.version_num = '20260301090200';

COMMIT;

BEGIN;

-- Running upgrade 20260301090300 -> 20260301090400

CREATE TABLE request_log_details (
    log_id BIGINT NOT NULL, 
    request_body JSON, 
    request_headers JSON, 
    response_headers JSON, 
    converted_request_body JSON, 
    usage_details JSON, 
    response_body TEXT, 
    upstream_response_body TEXT, 
    error_info TEXT, 
    CONSTRAINT request_log_details_pkey PRIMARY KEY (log_id), 
    CONSTRAINT request_log_details_log_id_fkey FOREIGN KEY(log_id) REFERENCES request_logs (id) ON DELETE CASCADE
);

COMMENT ON TABLE request_log_details IS 'Bodies and headers of requests, at most one row per log.';

COMMENT ON COLUMN request_log_details.log_id IS 'The log that it belongs to.';

COMMENT ON COLUMN request_log_details.request_body IS 'Body of the client''s request, as it came.';

COMMENT ON COLUMN request_log_details.request_headers IS 'Headers of the client''s request.';

COMMENT ON COLUMN request_log_details.response_headers IS 'Headers of the response.';

COMMENT ON COLUMN request_log_details.converted_request_body IS 'Body of the request after protocol conversion.';

COMMENT ON COLUMN request_log_details.usage_details IS 'Token counts as the provider reported them.';

COMMENT ON COLUMN request_log_details.response_body IS 'Body of the response, as the client got it.';

COMMENT ON COLUMN request_log_details.upstream_response_body IS 'Body of the response before protocol conversion.';

COMMENT ON COLUMN request_log_details.error_info IS 'What went wrong, if anything did.';

UPDATE alembic_version SET version_num='20260301090400' WHERE alembic_version.version_num = '20260301090300';

COMMIT;

BEGIN;

-- Running upgrade 20260301090400 -> 20260320090000

ALTER TABLE request_logs ADD COLUMN request_url VARCHAR(1000);

COMMENT ON COLUMN request_logs.request_url IS 'URL of the client''s request.';

UPDATE alembic_version SET version_num='20260320090000' WHERE alembic_version.version_num = '20260301090400';

COMMIT;

BEGIN;

-- Running upgrade 20260320090000 -> 20260402090000

ALTER TABLE request_logs ADD COLUMN user_id VARCHAR(255);

COMMENT ON COLUMN request_logs.user_id IS 'The client''s own user, as the request named it.';

UPDATE alembic_version SET version_num='20260402090000' WHERE alembic_version.version_num = '20260320090000';

COMMIT;

BEGIN;

-- Running upgrade 20260402090000 -> 20260402090001

COMMIT;

CREATE INDEX CONCURRENTLY idx_request_logs_time_user_id ON request_logs (request_time, user_id);

CREATE INDEX CONCURRENTLY idx_request_logs_user_id ON request_logs (user_id);

BEGIN;

UPDATE alembic_version SET version_num='20260402090001' WHERE alembic_version.version_num = '20260402090000';

COMMIT;

BEGIN;

-- Running upgrade 20260402090001 -> 20260425090000

COMMIT;

ALTER TABLE request_logs DROP CONSTRAINT IF EXISTS request_logs_provider_id_fkey;

BEGIN;

UPDATE alembic_version SET version_num='20260425090000' WHERE alembic_version.version_num = '20260402090001';

COMMIT;

BEGIN;

-- Running upgrade 20260425090000 -> 20260510090000

COMMIT;

CREATE INDEX CONCURRENTLY idx_request_logs_trace_id_id ON request_logs (trace_id, id);

BEGIN;

UPDATE alembic_version SET version_num='20260510090000' WHERE alembic_version.version_num = '20260425090000';

COMMIT;

BEGIN;

-- Running upgrade 20260510090000 -> 20260616090000

ALTER TABLE model_mappings ADD COLUMN cache_creation_input_price NUMERIC(12, 4);

COMMENT ON COLUMN model_mappings.cache_creation_input_price IS 'USD per 1,000,000 input tokens that make a cache entry.';

UPDATE alembic_version SET version_num='20260616090000' WHERE alembic_version.version_num = '20260510090000';

COMMIT;

BEGIN;

-- Running upgrade 20260616090000 -> 20260616090001

ALTER TABLE model_mapping_providers ADD COLUMN cache_creation_input_price NUMERIC(12, 4);

COMMENT ON COLUMN model_mapping_providers.cache_creation_input_price IS 'USD per 1,000,000 input tokens that make a cache entry.';

UPDATE alembic_version SET version_num='20260616090001' WHERE alembic_version.version_num = '20260616090000';

COMMIT;

BEGIN;

-- Running upgrade 20260616090001 -> 20260618090000

ALTER TABLE api_keys ADD COLUMN record_details BOOLEAN DEFAULT true NOT NULL;

COMMENT ON COLUMN api_keys.record_details IS 'Whether bodies and headers of its requests are logged.';

UPDATE alembic_version SET version_num='20260618090000' WHERE alembic_version.version_num = '20260616090001';

COMMIT;

BEGIN;

-- Running upgrade 20260618090000 -> 20260625090000

ALTER TABLE service_providers ADD COLUMN response_timeout_seconds INTEGER DEFAULT 1800 NOT NULL;

COMMENT ON COLUMN service_providers.response_timeout_seconds IS 'Seconds that a response may take.';

UPDATE alembic_version SET version_num='20260625090000' WHERE alembic_version.version_num = '20260618090000';

COMMIT;

BEGIN;

-- Running upgrade 20260625090000 -> 20260711090000

ALTER TABLE api_keys ADD COLUMN is_mcp_admin BOOLEAN DEFAULT false NOT NULL;

COMMENT ON COLUMN api_keys.is_mcp_admin IS 'Whether it may administer the gateway through MCP.';

UPDATE alembic_version SET version_num='20260711090000' WHERE alembic_version.version_num = '20260625090000';

COMMIT;

BEGIN;

-- Running upgrade 20260711090000 -> 20260712090000

ALTER TABLE model_mapping_providers ADD COLUMN paused_until TIMESTAMP WITHOUT TIME ZONE;

COMMENT ON COLUMN model_mapping_providers.paused_until IS 'Until when no request is sent there, UTC.';

UPDATE alembic_version SET version_num='20260712090000' WHERE alembic_version.version_num = '20260711090000';

COMMIT;

BEGIN;

-- Running upgrade 20260712090000 -> 20260713090000

ALTER TABLE request_logs ADD COLUMN is_completed BOOLEAN DEFAULT true NOT NULL;

COMMENT ON COLUMN request_logs.is_completed IS 'False while the request is in progress.';

UPDATE alembic_version SET version_num='20260713090000' WHERE alembic_version.version_num = '20260712090000';

COMMIT;

BEGIN;

-- Running upgrade 20260713090000 -> 20260713090001

COMMIT;

CREATE INDEX CONCURRENTLY idx_request_logs_completed_time ON request_logs (is_completed, request_time);

BEGIN;

UPDATE alembic_version SET version_num='20260713090001' WHERE alembic_version.version_num = '20260713090000';

COMMIT;

BEGIN;

-- Running upgrade 20260713090001 -> 20260801090000

ALTER TABLE api_keys ADD COLUMN key_hash TEXT;

COMMENT ON COLUMN api_keys.key_hash IS 'Keyed hash of the key (HMAC-SHA-256).';

UPDATE alembic_version SET version_num='20260801090000' WHERE alembic_version.version_num = '20260713090001';

COMMIT;

BEGIN;

-- Running upgrade 20260801090000 -> 20260801090001

COMMIT;

CREATE INDEX CONCURRENTLY api_keys_key_hash_idx ON api_keys (key_hash);

BEGIN;

UPDATE alembic_version SET version_num='20260801090001' WHERE alembic_version.version_num = '20260801090000';

COMMIT;

BEGIN;

-- Running upgrade 20260801090001 -> 20260901090000

ALTER TABLE request_log_details ADD COLUMN request_time TIMESTAMP WITHOUT TIME ZONE DEFAULT timezone('utc', CURRENT_TIMESTAMP) NOT NULL;

COMMENT ON COLUMN request_log_details.request_time IS 'When the row was made, UTC.';

UPDATE alembic_version SET version_num='20260901090000' WHERE alembic_version.version_num = '20260801090001';

COMMIT;

BEGIN;

-- Running upgrade 20260901090000 -> 20260901090001

COMMIT;

CREATE INDEX CONCURRENTLY idx_request_log_details_time ON request_log_details (request_time);

BEGIN;

UPDATE alembic_version SET version_num='20260901090001' WHERE alembic_version.version_num = '20260901090000';

COMMIT;

