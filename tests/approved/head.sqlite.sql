-- Stop at the first error: sqlite3 -bail FILE < SCRIPT
PRAGMA foreign_keys = OFF;

BEGIN;

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 20241211000000

CREATE TABLE users (
    id CHAR(32) DEFAULT (lower(hex(randomblob(16)))) NOT NULL, 
    github_user_id BIGINT NOT NULL, 
    github_access_token TEXT, 
    github_refresh_token TEXT, 
    github_token_expires_at DATETIME, 
    is_whitelisted BOOLEAN DEFAULT false NOT NULL, 
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    CONSTRAINT users_pkey PRIMARY KEY (id), 
    CONSTRAINT users_github_user_id_key UNIQUE (github_user_id)
);

CREATE INDEX users_created_at_idx ON users (created_at);

CREATE INDEX users_is_whitelisted_idx ON users (is_whitelisted);

CREATE TRIGGER update_users_updated_at AFTER UPDATE ON users FOR EACH ROW WHEN NEW.updated_at IS NOT strftime('%Y-%m-%d %H:%M:%f000', 'now') BEGIN UPDATE users SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE rowid = NEW.rowid; END;

INSERT INTO alembic_version (version_num) VALUES ('20241211000000') RETURNING version_num;

COMMIT;

BEGIN;

-- Running upgrade 20241211000000 -> 20251212003115

CREATE TABLE service_audit_logs (
    id CHAR(32) DEFAULT (lower(hex(randomblob(16)))) NOT NULL, 
    service_id CHAR(32) NOT NULL, 
    user_id CHAR(32) NOT NULL, 
    action VARCHAR(100) NOT NULL, 
    success BOOLEAN DEFAULT true NOT NULL, 
    error_message TEXT, 
    ip_address VARCHAR(45), 
    user_agent TEXT, 
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    CONSTRAINT service_audit_logs_pkey PRIMARY KEY (id)
);

CREATE INDEX service_audit_logs_created_at_idx ON service_audit_logs (created_at);

CREATE INDEX service_audit_logs_service_id_idx ON service_audit_logs (service_id);

CREATE INDEX service_audit_logs_success_idx ON service_audit_logs (success);

CREATE INDEX service_audit_logs_user_id_idx ON service_audit_logs (user_id);

CREATE TABLE service_registry (
    id CHAR(32) DEFAULT (lower(hex(randomblob(16)))) NOT NULL, 
    service_identifier VARCHAR(255) NOT NULL, 
    hashed_api_key TEXT NOT NULL, 
    allowed_scopes JSON DEFAULT '[]', 
    is_active BOOLEAN DEFAULT true NOT NULL, 
    description TEXT, 
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    last_used_at DATETIME, 
    CONSTRAINT service_registry_pkey PRIMARY KEY (id), 
    CONSTRAINT service_registry_service_identifier_key UNIQUE (service_identifier)
);

CREATE INDEX service_registry_is_active_idx ON service_registry (is_active);

CREATE INDEX service_registry_service_identifier_idx ON service_registry (service_identifier);

CREATE TRIGGER update_service_registry_updated_at AFTER UPDATE ON service_registry FOR EACH ROW WHEN NEW.updated_at IS NOT strftime('%Y-%m-%d %H:%M:%f000', 'now') BEGIN UPDATE service_registry SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE rowid = NEW.rowid; END;

UPDATE alembic_version SET version_num='20251212003115' WHERE alembic_version.version_num = '20241211000000';

COMMIT;

BEGIN;

-- Running upgrade 20251212003115 -> 20251212003212

PRAGMA legacy_alter_table = ON;

CREATE TABLE _alembic_tmp_service_audit_logs (
    id CHAR(32) NOT NULL, 
    service_id CHAR(32) NOT NULL, 
    user_id CHAR(32) NOT NULL, 
    action VARCHAR(100) NOT NULL, 
    success BOOLEAN DEFAULT (true) NOT NULL, 
    error_message TEXT, 
    ip_address VARCHAR(45), 
    user_agent TEXT, 
    created_at DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL, 
    CONSTRAINT service_audit_logs_pkey PRIMARY KEY (id)
);

INSERT INTO _alembic_tmp_service_audit_logs (id, service_id, user_id, action, success, error_message, ip_address, user_agent, created_at) SELECT service_audit_logs.id, service_audit_logs.service_id, service_audit_logs.user_id, service_audit_logs.action, service_audit_logs.success, service_audit_logs.error_message, service_audit_logs.ip_address, service_audit_logs.user_agent, service_audit_logs.created_at 
FROM service_audit_logs;

SELECT CASE WHEN (SELECT count(*) FROM "service_audit_logs") <> (SELECT count(*) FROM "_alembic_tmp_service_audit_logs") THEN abs(-9223372036854775807 - 1) END;

DROP TABLE service_audit_logs;

ALTER TABLE _alembic_tmp_service_audit_logs RENAME TO service_audit_logs;

PRAGMA legacy_alter_table = OFF;

CREATE INDEX service_audit_logs_created_at_idx ON service_audit_logs (created_at);

CREATE INDEX service_audit_logs_service_id_idx ON service_audit_logs (service_id);

CREATE INDEX service_audit_logs_success_idx ON service_audit_logs (success);

CREATE INDEX service_audit_logs_user_id_idx ON service_audit_logs (user_id);

PRAGMA legacy_alter_table = ON;

CREATE TABLE _alembic_tmp_service_registry (
    id CHAR(32) NOT NULL, 
    service_identifier VARCHAR(255) NOT NULL, 
    hashed_api_key TEXT NOT NULL, 
    allowed_scopes JSON DEFAULT '[]', 
    is_active BOOLEAN DEFAULT (true) NOT NULL, 
    description TEXT, 
    created_at DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL, 
    updated_at DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL, 
    last_used_at DATETIME, 
    CONSTRAINT service_registry_pkey PRIMARY KEY (id), 
    CONSTRAINT service_registry_service_identifier_key UNIQUE (service_identifier)
);

INSERT INTO _alembic_tmp_service_registry (id, service_identifier, hashed_api_key, allowed_scopes, is_active, description, created_at, updated_at, last_used_at) SELECT service_registry.id, service_registry.service_identifier, service_registry.hashed_api_key, service_registry.allowed_scopes, service_registry.is_active, service_registry.description, service_registry.created_at, service_registry.updated_at, service_registry.last_used_at 
FROM service_registry;

SELECT CASE WHEN (SELECT count(*) FROM "service_registry") <> (SELECT count(*) FROM "_alembic_tmp_service_registry") THEN abs(-9223372036854775807 - 1) END;

DROP TABLE service_registry;

ALTER TABLE _alembic_tmp_service_registry RENAME TO service_registry;

PRAGMA legacy_alter_table = OFF;

CREATE TRIGGER update_service_registry_updated_at AFTER UPDATE ON service_registry FOR EACH ROW WHEN NEW.updated_at IS NOT strftime('%Y-%m-%d %H:%M:%f000', 'now') BEGIN UPDATE service_registry SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE rowid = NEW.rowid; END;

CREATE INDEX service_registry_is_active_idx ON service_registry (is_active);

CREATE INDEX service_registry_service_identifier_idx ON service_registry (service_identifier);

PRAGMA legacy_alter_table = ON;

CREATE TABLE _alembic_tmp_service_registry (
    id CHAR(32) NOT NULL, 
    service_identifier VARCHAR(255) NOT NULL, 
    hashed_api_key TEXT NOT NULL, 
    allowed_scopes JSON DEFAULT '[]', 
    is_active BOOLEAN DEFAULT (true) NOT NULL, 
    description TEXT, 
    created_at DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL, 
    updated_at DATETIME NOT NULL, 
    last_used_at DATETIME, 
    CONSTRAINT service_registry_pkey PRIMARY KEY (id), 
    CONSTRAINT service_registry_service_identifier_key UNIQUE (service_identifier)
);

INSERT INTO _alembic_tmp_service_registry (id, service_identifier, hashed_api_key, allowed_scopes, is_active, description, created_at, updated_at, last_used_at) SELECT service_registry.id, service_registry.service_identifier, service_registry.hashed_api_key, service_registry.allowed_scopes, service_registry.is_active, service_registry.description, service_registry.created_at, service_registry.updated_at, service_registry.last_used_at 
FROM service_registry;

SELECT CASE WHEN (SELECT count(*) FROM "service_registry") <> (SELECT count(*) FROM "_alembic_tmp_service_registry") THEN abs(-9223372036854775807 - 1) END;

DROP TABLE service_registry;

ALTER TABLE _alembic_tmp_service_registry RENAME TO service_registry;

PRAGMA legacy_alter_table = OFF;

CREATE TRIGGER update_service_registry_updated_at AFTER UPDATE ON service_registry FOR EACH ROW WHEN NEW.updated_at IS NOT strftime('%Y-%m-%d %H:%M:%f000', 'now') BEGIN UPDATE service_registry SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE rowid = NEW.rowid; END;

CREATE INDEX service_registry_is_active_idx ON service_registry (is_active);

CREATE INDEX service_registry_service_identifier_idx ON service_registry (service_identifier);

PRAGMA legacy_alter_table = ON;

CREATE TABLE _alembic_tmp_users (
    id CHAR(32) NOT NULL, 
    github_user_id BIGINT NOT NULL, 
    github_access_token TEXT, 
    github_refresh_token TEXT, 
    github_token_expires_at DATETIME, 
    is_whitelisted BOOLEAN DEFAULT (false) NOT NULL, 
    created_at DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL, 
    updated_at DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL, 
    CONSTRAINT users_pkey PRIMARY KEY (id), 
    CONSTRAINT users_github_user_id_key UNIQUE (github_user_id)
);

INSERT INTO _alembic_tmp_users (id, github_user_id, github_access_token, github_refresh_token, github_token_expires_at, is_whitelisted, created_at, updated_at) SELECT users.id, users.github_user_id, users.github_access_token, users.github_refresh_token, users.github_token_expires_at, users.is_whitelisted, users.created_at, users.updated_at 
FROM users;

SELECT CASE WHEN (SELECT count(*) FROM "users") <> (SELECT count(*) FROM "_alembic_tmp_users") THEN abs(-9223372036854775807 - 1) END;

DROP TABLE users;

ALTER TABLE _alembic_tmp_users RENAME TO users;

PRAGMA legacy_alter_table = OFF;

CREATE TRIGGER update_users_updated_at AFTER UPDATE ON users FOR EACH ROW WHEN NEW.updated_at IS NOT strftime('%Y-%m-%d %H:%M:%f000', 'now') BEGIN UPDATE users SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE rowid = NEW.rowid; END;

CREATE INDEX users_created_at_idx ON users (created_at);

CREATE INDEX users_is_whitelisted_idx ON users (is_whitelisted);

PRAGMA legacy_alter_table = ON;

CREATE TABLE _alembic_tmp_users (
    id CHAR(32) NOT NULL, 
    github_user_id BIGINT NOT NULL, 
    github_access_token TEXT, 
    github_refresh_token TEXT, 
    github_token_expires_at DATETIME, 
    is_whitelisted BOOLEAN DEFAULT (false) NOT NULL, 
    created_at DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL, 
    updated_at DATETIME NOT NULL, 
    CONSTRAINT users_pkey PRIMARY KEY (id), 
    CONSTRAINT users_github_user_id_key UNIQUE (github_user_id)
);

INSERT INTO _alembic_tmp_users (id, github_user_id, github_access_token, github_refresh_token, github_token_expires_at, is_whitelisted, created_at, updated_at) SELECT users.id, users.github_user_id, users.github_access_token, users.github_refresh_token, users.github_token_expires_at, users.is_whitelisted, users.created_at, users.updated_at 
FROM users;

SELECT CASE WHEN (SELECT count(*) FROM "users") <> (SELECT count(*) FROM "_alembic_tmp_users") THEN abs(-9223372036854775807 - 1) END;

DROP TABLE users;

ALTER TABLE _alembic_tmp_users RENAME TO users;

PRAGMA legacy_alter_table = OFF;

CREATE TRIGGER update_users_updated_at AFTER UPDATE ON users FOR EACH ROW WHEN NEW.updated_at IS NOT strftime('%Y-%m-%d %H:%M:%f000', 'now') BEGIN UPDATE users SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE rowid = NEW.rowid; END;

CREATE INDEX users_created_at_idx ON users (created_at);

CREATE INDEX users_is_whitelisted_idx ON users (is_whitelisted);

DROP INDEX users_created_at_idx;

DROP INDEX users_is_whitelisted_idx;

UPDATE alembic_version SET version_num='20251212003212' WHERE alembic_version.version_num = '20251212003115';

SELECT CASE WHEN EXISTS (SELECT 1 FROM pragma_foreign_key_check('service_audit_logs')) THEN abs(-9223372036854775807 - 1) END;

SELECT CASE WHEN EXISTS (SELECT 1 FROM pragma_foreign_key_check('service_registry')) THEN abs(-9223372036854775807 - 1) END;

SELECT CASE WHEN EXISTS (SELECT 1 FROM pragma_foreign_key_check('users')) THEN abs(-9223372036854775807 - 1) END;

COMMIT;

BEGIN;

-- Running upgrade 20251212003212 -> 20251213000000

-- Fails (integer overflow) while users holds secrets in plaintext; then run: alembic upgrade head
SELECT CASE WHEN EXISTS (SELECT 1 FROM users WHERE (github_access_token IS NOT NULL AND github_access_token <> '' AND (NOT instr(github_access_token, ':') > 0 OR (ltrim(github_access_token, char(32,9,10,13,12,11)) NOT GLOB '[A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-]=:*' AND ltrim(github_access_token, char(32,9,10,13,12,11)) NOT GLOB '[A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-]:*'))) OR (github_refresh_token IS NOT NULL AND github_refresh_token <> '' AND (NOT instr(github_refresh_token, ':') > 0 OR (ltrim(github_refresh_token, char(32,9,10,13,12,11)) NOT GLOB '[A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-]=:*' AND ltrim(github_refresh_token, char(32,9,10,13,12,11)) NOT GLOB '[A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-][A-Za-z0-9+/_-]:*')))) THEN abs(-9223372036854775807 - 1) END;

UPDATE alembic_version SET version_num='20251213000000' WHERE alembic_version.version_num = '20251212003212';

COMMIT;

BEGIN;

-- Running upgrade 20251213000000 -> 20260110000000

CREATE TABLE api_keys (
    id INTEGER NOT NULL, 
    key_name VARCHAR(100) NOT NULL, 
    key_value VARCHAR(100) NOT NULL, 
    is_active BOOLEAN DEFAULT true NOT NULL, 
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    last_used_at DATETIME, 
    CONSTRAINT api_keys_pkey PRIMARY KEY (id), 
    CONSTRAINT api_keys_key_name_key UNIQUE (key_name), 
    CONSTRAINT api_keys_key_value_key UNIQUE (key_value)
);

CREATE TABLE model_mappings (
    requested_model VARCHAR(100) NOT NULL, 
    strategy VARCHAR(50) DEFAULT 'round_robin' NOT NULL, 
    model_type VARCHAR(50) DEFAULT 'chat' NOT NULL, 
    matching_rules JSON, 
    capabilities JSON, 
    is_active BOOLEAN DEFAULT true NOT NULL, 
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
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

CREATE TABLE service_providers (
    id INTEGER NOT NULL, 
    name VARCHAR(100) NOT NULL, 
    remark TEXT, 
    base_url VARCHAR(500) NOT NULL, 
    protocol VARCHAR(50) NOT NULL, 
    api_type VARCHAR(50) DEFAULT 'chat' NOT NULL, 
    api_key TEXT, 
    proxy_enabled BOOLEAN DEFAULT false NOT NULL, 
    proxy_url TEXT, 
    is_active BOOLEAN DEFAULT true NOT NULL, 
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    CONSTRAINT service_providers_pkey PRIMARY KEY (id), 
    CONSTRAINT service_providers_name_key UNIQUE (name)
);

CREATE TABLE model_mapping_providers (
    id INTEGER NOT NULL, 
    requested_model VARCHAR(100) NOT NULL, 
    provider_id INTEGER NOT NULL, 
    target_model_name VARCHAR(100) NOT NULL, 
    provider_rules JSON, 
    priority INTEGER DEFAULT 0 NOT NULL, 
    weight INTEGER DEFAULT 1 NOT NULL, 
    is_active BOOLEAN DEFAULT true NOT NULL, 
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
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

CREATE TABLE request_logs (
    id INTEGER NOT NULL, 
    request_time DATETIME NOT NULL, 
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

UPDATE alembic_version SET version_num='20260111000000' WHERE alembic_version.version_num = '20260110000000';

COMMIT;

BEGIN;

-- Running upgrade 20260111000000 -> 20260112000000

ALTER TABLE service_providers ADD COLUMN extra_headers JSON;

UPDATE alembic_version SET version_num='20260112000000' WHERE alembic_version.version_num = '20260111000000';

COMMIT;

BEGIN;

-- Running upgrade 20260112000000 -> 20260121000000

ALTER TABLE request_logs ADD COLUMN request_protocol VARCHAR(50);

ALTER TABLE request_logs ADD COLUMN supplier_protocol VARCHAR(50);

ALTER TABLE request_logs ADD COLUMN converted_request_body JSON;

ALTER TABLE request_logs ADD COLUMN upstream_response_body TEXT;

UPDATE alembic_version SET version_num='20260121000000' WHERE alembic_version.version_num = '20260112000000';

COMMIT;

BEGIN;

-- Running upgrade 20260121000000 -> 20260123000000

PRAGMA legacy_alter_table = ON;

CREATE TABLE _alembic_tmp_model_mapping_providers (
    id INTEGER NOT NULL, 
    requested_model VARCHAR(100) NOT NULL, 
    provider_id INTEGER NOT NULL, 
    target_model_name VARCHAR(100) NOT NULL, 
    provider_rules JSON, 
    priority INTEGER DEFAULT 0 NOT NULL, 
    weight INTEGER DEFAULT 1 NOT NULL, 
    is_active BOOLEAN DEFAULT (true) NOT NULL, 
    created_at DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL, 
    updated_at DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL, 
    input_price NUMERIC(12, 4), 
    output_price NUMERIC(12, 4), 
    billing_mode VARCHAR(50), 
    per_request_price NUMERIC(12, 4), 
    per_image_price NUMERIC(12, 4), 
    tiered_pricing JSON, 
    cache_billing_enabled BOOLEAN DEFAULT (false) NOT NULL, 
    cached_input_price NUMERIC(12, 4), 
    cached_output_price NUMERIC(12, 4), 
    CONSTRAINT model_mapping_providers_pkey PRIMARY KEY (id), 
    CONSTRAINT model_mapping_providers_provider_id_fkey FOREIGN KEY(provider_id) REFERENCES service_providers (id) ON DELETE CASCADE, 
    CONSTRAINT model_mapping_providers_requested_model_fkey FOREIGN KEY(requested_model) REFERENCES model_mappings (requested_model) ON DELETE CASCADE
);

INSERT INTO _alembic_tmp_model_mapping_providers (id, requested_model, provider_id, target_model_name, provider_rules, priority, weight, is_active, created_at, updated_at, input_price, output_price, billing_mode, per_request_price, per_image_price, tiered_pricing, cache_billing_enabled, cached_input_price, cached_output_price) SELECT model_mapping_providers.id, model_mapping_providers.requested_model, model_mapping_providers.provider_id, model_mapping_providers.target_model_name, model_mapping_providers.provider_rules, model_mapping_providers.priority, model_mapping_providers.weight, model_mapping_providers.is_active, model_mapping_providers.created_at, model_mapping_providers.updated_at, model_mapping_providers.input_price, model_mapping_providers.output_price, model_mapping_providers.billing_mode, model_mapping_providers.per_request_price, model_mapping_providers.per_image_price, model_mapping_providers.tiered_pricing, model_mapping_providers.cache_billing_enabled, model_mapping_providers.cached_input_price, model_mapping_providers.cached_output_price 
FROM model_mapping_providers;

SELECT CASE WHEN (SELECT count(*) FROM "model_mapping_providers") <> (SELECT count(*) FROM "_alembic_tmp_model_mapping_providers") THEN abs(-9223372036854775807 - 1) END;

DROP TABLE model_mapping_providers;

ALTER TABLE _alembic_tmp_model_mapping_providers RENAME TO model_mapping_providers;

PRAGMA legacy_alter_table = OFF;

UPDATE alembic_version SET version_num='20260123000000' WHERE alembic_version.version_num = '20260121000000';

SELECT CASE WHEN EXISTS (SELECT 1 FROM pragma_foreign_key_check('model_mapping_providers')) THEN abs(-9223372036854775807 - 1) END;

COMMIT;

BEGIN;

-- Running upgrade 20260123000000 -> 20260131000000

ALTER TABLE service_providers ADD COLUMN provider_options JSON;

UPDATE alembic_version SET version_num='20260131000000' WHERE alembic_version.version_num = '20260123000000';

COMMIT;

BEGIN;

-- Running upgrade 20260131000000 -> 20260228000000

-- Fails (integer overflow) while service_providers holds secrets in plaintext; then run: alembic upgrade head
SELECT CASE WHEN EXISTS (SELECT 1 FROM service_providers WHERE (api_key IS NOT NULL AND api_key <> '' AND NOT api_key GLOB 'enc:*' AND (NOT instr(api_key, ':') > 0 OR (ltrim(api_key, char(32,9,10,13,12,11)) NOT GLOB '[Ee][Nn][Cc]:*')))) THEN abs(-9223372036854775807 - 1) END;

UPDATE alembic_version SET version_num='20260228000000' WHERE alembic_version.version_num = '20260131000000';

COMMIT;

BEGIN;

-- Running upgrade 20260228000000 -> 20260301090000

CREATE TABLE revoked_tokens (
    id CHAR(32) NOT NULL, 
    jti VARCHAR(255) NOT NULL, 
    user_id CHAR(32) NOT NULL, 
    token_issued_at DATETIME NOT NULL, 
    token_expires_at DATETIME NOT NULL, 
    revoked_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    revoked_by VARCHAR(255), 
    reason TEXT, 
    CONSTRAINT revoked_tokens_pkey PRIMARY KEY (id), 
    CONSTRAINT revoked_tokens_jti_key UNIQUE (jti)
);

CREATE INDEX revoked_tokens_jti_idx ON revoked_tokens (jti);

CREATE INDEX revoked_tokens_revoked_at_idx ON revoked_tokens (revoked_at);

CREATE INDEX revoked_tokens_token_expires_at_idx ON revoked_tokens (token_expires_at);

CREATE INDEX revoked_tokens_user_id_idx ON revoked_tokens (user_id);

UPDATE alembic_version SET version_num='20260301090000' WHERE alembic_version.version_num = '20260228000000';

COMMIT;

BEGIN;

-- Running upgrade 20260301090000 -> 20260301090100

CREATE TABLE jwt_key_rotation (
    id CHAR(32) NOT NULL, 
    key_identifier VARCHAR(255) NOT NULL, 
    key_type VARCHAR(50) NOT NULL, 
    last_rotated_at DATETIME NOT NULL, 
    next_rotation_due DATETIME, 
    is_active BOOLEAN DEFAULT true NOT NULL, 
    rotation_interval_days INTEGER, 
    metadata TEXT, 
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    updated_at DATETIME NOT NULL, 
    CONSTRAINT jwt_key_rotation_pkey PRIMARY KEY (id), 
    CONSTRAINT jwt_key_rotation_key_identifier_key UNIQUE (key_identifier)
);

CREATE INDEX jwt_key_rotation_is_active_idx ON jwt_key_rotation (is_active);

CREATE INDEX jwt_key_rotation_key_identifier_idx ON jwt_key_rotation (key_identifier);

CREATE INDEX jwt_key_rotation_next_rotation_due_idx ON jwt_key_rotation (next_rotation_due);

CREATE TRIGGER update_jwt_key_rotation_updated_at AFTER UPDATE ON jwt_key_rotation FOR EACH ROW WHEN NEW.updated_at IS NOT strftime('%Y-%m-%d %H:%M:%f000', 'now') BEGIN UPDATE jwt_key_rotation SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE rowid = NEW.rowid; END;

UPDATE alembic_version SET version_num='20260301090100' WHERE alembic_version.version_num = '20260301090000';

COMMIT;

BEGIN;

-- Running upgrade 20260301090100 -> 20260301090200

ALTER TABLE service_registry ADD COLUMN last_api_key_rotated_at DATETIME;

UPDATE alembic_version SET version_num='20260301090200' WHERE alembic_version.version_num = '20260301090100';

COMMIT;

BEGIN;

-- Running upgrade 20260301090200 -> 20260301090300

CREATE TABLE key_value_store (
    "key" VARCHAR(255) NOT NULL, 
    value TEXT NOT NULL, 
    expires_at DATETIME, 
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    CONSTRAINT key_value_store_pkey PRIMARY KEY ("key")
);

CREATE INDEX idx_kv_expires_at ON key_value_store (expires_at);

UPDATE alembic_version SET version_num='20260301090300' WHERE alembic_version.version_num = '20260301090200';

COMMIT;

BEGIN;

-- Running upgrade 20260301090300 -> 20260301090400

CREATE TABLE request_log_details (
    log_id INTEGER NOT NULL, 
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

UPDATE alembic_version SET version_num='20260301090400' WHERE alembic_version.version_num = '20260301090300';

COMMIT;

BEGIN;

-- Running upgrade 20260301090400 -> 20260320090000

ALTER TABLE request_logs ADD COLUMN request_url VARCHAR(1000);

UPDATE alembic_version SET version_num='20260320090000' WHERE alembic_version.version_num = '20260301090400';

COMMIT;

BEGIN;

-- Running upgrade 20260320090000 -> 20260402090000

ALTER TABLE request_logs ADD COLUMN user_id VARCHAR(255);

UPDATE alembic_version SET version_num='20260402090000' WHERE alembic_version.version_num = '20260320090000';

COMMIT;

BEGIN;

-- Running upgrade 20260402090000 -> 20260402090001

CREATE INDEX idx_request_logs_time_user_id ON request_logs (request_time, user_id);

CREATE INDEX idx_request_logs_user_id ON request_logs (user_id);

UPDATE alembic_version SET version_num='20260402090001' WHERE alembic_version.version_num = '20260402090000';

COMMIT;

BEGIN;

-- Running upgrade 20260402090001 -> 20260425090000

PRAGMA legacy_alter_table = ON;

CREATE TABLE _alembic_tmp_request_logs (
    id INTEGER NOT NULL, 
    request_time DATETIME NOT NULL, 
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
    is_stream BOOLEAN DEFAULT (false) NOT NULL, 
    request_protocol VARCHAR(50), 
    supplier_protocol VARCHAR(50), 
    converted_request_body JSON, 
    upstream_response_body TEXT, 
    request_url VARCHAR(1000), 
    user_id VARCHAR(255), 
    CONSTRAINT request_logs_pkey PRIMARY KEY (id), 
    CONSTRAINT request_logs_api_key_id_fkey FOREIGN KEY(api_key_id) REFERENCES api_keys (id)
);

INSERT INTO _alembic_tmp_request_logs (id, request_time, api_key_id, api_key_name, requested_model, target_model, provider_id, provider_name, retry_count, matched_provider_count, first_byte_delay_ms, total_time_ms, input_tokens, output_tokens, total_cost, input_cost, output_cost, cached_input_cost, cached_output_cost, price_source, request_headers, response_headers, request_body, response_status, response_body, usage_details, error_info, trace_id, request_path, request_method, upstream_url, is_stream, request_protocol, supplier_protocol, converted_request_body, upstream_response_body, request_url, user_id) SELECT request_logs.id, request_logs.request_time, request_logs.api_key_id, request_logs.api_key_name, request_logs.requested_model, request_logs.target_model, request_logs.provider_id, request_logs.provider_name, request_logs.retry_count, request_logs.matched_provider_count, request_logs.first_byte_delay_ms, request_logs.total_time_ms, request_logs.input_tokens, request_logs.output_tokens, request_logs.total_cost, request_logs.input_cost, request_logs.output_cost, request_logs.cached_input_cost, request_logs.cached_output_cost, request_logs.price_source, request_logs.request_headers, request_logs.response_headers, request_logs.request_body, request_logs.response_status, request_logs.response_body, request_logs.usage_details, request_logs.error_info, request_logs.trace_id, request_logs.request_path, request_logs.request_method, request_logs.upstream_url, request_logs.is_stream, request_logs.request_protocol, request_logs.supplier_protocol, request_logs.converted_request_body, request_logs.upstream_response_body, request_logs.request_url, request_logs.user_id 
FROM request_logs;

SELECT CASE WHEN (SELECT count(*) FROM "request_logs") <> (SELECT count(*) FROM "_alembic_tmp_request_logs") THEN abs(-9223372036854775807 - 1) END;

DROP TABLE request_logs;

ALTER TABLE _alembic_tmp_request_logs RENAME TO request_logs;

PRAGMA legacy_alter_table = OFF;

CREATE INDEX idx_request_logs_api_key ON request_logs (api_key_id);

CREATE INDEX idx_request_logs_model ON request_logs (requested_model);

CREATE INDEX idx_request_logs_time ON request_logs (request_time);

CREATE INDEX idx_request_logs_time_apikey ON request_logs (request_time, api_key_id);

CREATE INDEX idx_request_logs_time_model ON request_logs (request_time, requested_model);

CREATE INDEX idx_request_logs_time_provider ON request_logs (request_time, provider_id);

CREATE INDEX idx_request_logs_time_status ON request_logs (request_time, response_status);

CREATE INDEX idx_request_logs_time_user_id ON request_logs (request_time, user_id);

CREATE INDEX idx_request_logs_user_id ON request_logs (user_id);

UPDATE alembic_version SET version_num='20260425090000' WHERE alembic_version.version_num = '20260402090001';

SELECT CASE WHEN EXISTS (SELECT 1 FROM pragma_foreign_key_check('request_logs')) THEN abs(-9223372036854775807 - 1) END;

SELECT CASE WHEN EXISTS (SELECT 1 FROM pragma_foreign_key_check('request_log_details')) THEN abs(-9223372036854775807 - 1) END;

COMMIT;

BEGIN;

-- Running upgrade 20260425090000 -> 20260510090000

CREATE INDEX idx_request_logs_trace_id_id ON request_logs (trace_id, id);

UPDATE alembic_version SET version_num='20260510090000' WHERE alembic_version.version_num = '20260425090000';

COMMIT;

BEGIN;

-- Running upgrade 20260510090000 -> 20260616090000

ALTER TABLE model_mappings ADD COLUMN cache_creation_input_price NUMERIC(12, 4);

UPDATE alembic_version SET version_num='20260616090000' WHERE alembic_version.version_num = '20260510090000';

COMMIT;

BEGIN;

-- Running upgrade 20260616090000 -> 20260616090001

ALTER TABLE model_mapping_providers ADD COLUMN cache_creation_input_price NUMERIC(12, 4);

UPDATE alembic_version SET version_num='20260616090001' WHERE alembic_version.version_num = '20260616090000';

COMMIT;

BEGIN;

-- Running upgrade 20260616090001 -> 20260618090000

ALTER TABLE api_keys ADD COLUMN record_details BOOLEAN DEFAULT true NOT NULL;

UPDATE alembic_version SET version_num='20260618090000' WHERE alembic_version.version_num = '20260616090001';

COMMIT;

BEGIN;

-- Running upgrade 20260618090000 -> 20260625090000

ALTER TABLE service_providers ADD COLUMN response_timeout_seconds INTEGER DEFAULT 1800 NOT NULL;

UPDATE alembic_version SET version_num='20260625090000' WHERE alembic_version.version_num = '20260618090000';

COMMIT;

BEGIN;

-- Running upgrade 20260625090000 -> 20260711090000

ALTER TABLE api_keys ADD COLUMN is_mcp_admin BOOLEAN DEFAULT false NOT NULL;

UPDATE alembic_version SET version_num='20260711090000' WHERE alembic_version.version_num = '20260625090000';

COMMIT;

BEGIN;

-- Running upgrade 20260711090000 -> 20260712090000

ALTER TABLE model_mapping_providers ADD COLUMN paused_until DATETIME;

UPDATE alembic_version SET version_num='20260712090000' WHERE alembic_version.version_num = '20260711090000';

COMMIT;

BEGIN;

-- Running upgrade 20260712090000 -> 20260713090000

ALTER TABLE request_logs ADD COLUMN is_completed BOOLEAN DEFAULT true NOT NULL;

UPDATE alembic_version SET version_num='20260713090000' WHERE alembic_version.version_num = '20260712090000';

COMMIT;

BEGIN;

-- Running upgrade 20260713090000 -> 20260713090001

CREATE INDEX idx_request_logs_completed_time ON request_logs (is_completed, request_time);

UPDATE alembic_version SET version_num='20260713090001' WHERE alembic_version.version_num = '20260713090000';

COMMIT;

BEGIN;

-- Running upgrade 20260713090001 -> 20260801090000

ALTER TABLE api_keys ADD COLUMN key_hash TEXT;

UPDATE alembic_version SET version_num='20260801090000' WHERE alembic_version.version_num = '20260713090001';

COMMIT;

BEGIN;

-- Running upgrade 20260801090000 -> 20260801090001

CREATE INDEX api_keys_key_hash_idx ON api_keys (key_hash);

UPDATE alembic_version SET version_num='20260801090001' WHERE alembic_version.version_num = '20260801090000';

COMMIT;

BEGIN;

-- Running upgrade 20260801090001 -> 20260901090000

PRAGMA legacy_alter_table = ON;

CREATE TABLE _alembic_tmp_request_log_details (
    log_id INTEGER NOT NULL, 
    request_body JSON, 
    request_headers JSON, 
    response_headers JSON, 
    converted_request_body JSON, 
    usage_details JSON, 
    response_body TEXT, 
    upstream_response_body TEXT, 
    error_info TEXT, 
    request_time DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
    CONSTRAINT request_log_details_pkey PRIMARY KEY (log_id), 
    CONSTRAINT request_log_details_log_id_fkey FOREIGN KEY(log_id) REFERENCES request_logs (id) ON DELETE CASCADE
);

INSERT INTO _alembic_tmp_request_log_details (log_id, request_body, request_headers, response_headers, converted_request_body, usage_details, response_body, upstream_response_body, error_info) SELECT request_log_details.log_id, request_log_details.request_body, request_log_details.request_headers, request_log_details.response_headers, request_log_details.converted_request_body, request_log_details.usage_details, request_log_details.response_body, request_log_details.upstream_response_body, request_log_details.error_info 
FROM request_log_details;

SELECT CASE WHEN (SELECT count(*) FROM "request_log_details") <> (SELECT count(*) FROM "_alembic_tmp_request_log_details") THEN abs(-9223372036854775807 - 1) END;

DROP TABLE request_log_details;

ALTER TABLE _alembic_tmp_request_log_details RENAME TO request_log_details;

PRAGMA legacy_alter_table = OFF;

UPDATE alembic_version SET version_num='20260901090000' WHERE alembic_version.version_num = '20260801090001';

SELECT CASE WHEN EXISTS (SELECT 1 FROM pragma_foreign_key_check('request_log_details')) THEN abs(-9223372036854775807 - 1) END;

COMMIT;

BEGIN;

-- Running upgrade 20260901090000 -> 20260901090001

CREATE INDEX idx_request_log_details_time ON request_log_details (request_time);

UPDATE alembic_version SET version_num='20260901090001' WHERE alembic_version.version_num = '20260901090000';

COMMIT;

