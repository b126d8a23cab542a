-- The auth service's database as its SQL files made it, run by hand one after another.
CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    github_user_id bigint NOT NULL,
    github_access_token text,
    github_refresh_token text,
    github_token_expires_at timestamptz,
    is_whitelisted boolean DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE service_registry (
    id uuid PRIMARY KEY,
    service_identifier varchar(100) NOT NULL UNIQUE,
    hashed_api_key text NOT NULL,
    allowed_scopes text[] DEFAULT '{}',
    is_active boolean NOT NULL DEFAULT true,
    description text,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL,
    last_used_at timestamptz
);
CREATE INDEX by_identifier ON service_registry (service_identifier);
CREATE TABLE service_audit_logs (
    id uuid PRIMARY KEY,
    service_id uuid NOT NULL,
    user_id uuid NOT NULL,
    action varchar(100) NOT NULL,
    success boolean NOT NULL DEFAULT true,
    error_message text,
    ip_address varchar(45),
    user_agent text,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE migrations_done (file text PRIMARY KEY);
INSERT INTO migrations_done VALUES ('001_users.sql'), ('002_services.sql');
INSERT INTO users (id, github_user_id, github_access_token) VALUES
    ('00000000-0000-4000-8000-000000000001', 583231, 'gho_first'),
    ('00000000-0000-4000-8000-000000000002', 583231, NULL),
    ('00000000-0000-4000-8000-000000000003', 1024025, NULL);
