"""Edits that databases of the field have had by hand, each with the group that an adoption puts it into."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """One edit of a database that is what head makes.

    Attributes:
        statements: by the kind of database; one that isn't named doesn't know the edit.
        groups: the objects that differ then, each with its group.
    """

    name: str
    statements: Mapping[str, tuple[str, ...]]
    groups: Mapping[str, str]

    def on(self, where: str) -> tuple[str, ...]:
        """Returns the statements on a kind of database."""
        return self.statements.get("sqlite" if where == "sqlite" else "postgresql", ())


def both(*statements: str) -> dict[str, tuple[str, ...]]:
    return {"sqlite": statements, "postgresql": statements}


def server(*statements: str) -> dict[str, tuple[str, ...]]:
    return {"postgresql": statements}


def file(*statements: str) -> dict[str, tuple[str, ...]]:
    return {"sqlite": statements}


_FUNCTION = (
    "CREATE FUNCTION set_it() RETURNS trigger LANGUAGE plpgsql AS $$ begin\n  NEW.updated_at := now();\n"
    "  return NEW; end $$"
)
EDITS = [
    Edit(
        "an index under another name",
        both("DROP INDEX idx_request_logs_model", "CREATE INDEX ix_logs_by_model ON request_logs (requested_model)"),
        {"index request_logs.idx_request_logs_model": "renamed"},
    ),
    Edit(
        "a constraint under another name",
        server("ALTER TABLE api_keys RENAME CONSTRAINT api_keys_key_name_key TO uq_name"),
        {"constraint api_keys.api_keys_key_name_key": "renamed"},
    ),
    Edit(
        "a primary key under another name",
        server("ALTER TABLE users RENAME CONSTRAINT users_pkey TO pk_users"),
        {"constraint users.users_pkey": "renamed"},
    ),
    Edit(
        "a unique index for a constraint",
        server(
            "ALTER TABLE api_keys DROP CONSTRAINT api_keys_key_value_key",
            "CREATE UNIQUE INDEX api_keys_value ON api_keys (key_value)",
        ),
        {"constraint api_keys.api_keys_key_value_key": "renamed"},
    ),
    Edit(
        "a unique constraint dropped",
        server("ALTER TABLE service_providers DROP CONSTRAINT service_providers_name_key"),
        {"constraint service_providers.service_providers_name_key": "repaired"},
    ),
    Edit(
        "an index dropped",
        both("DROP INDEX idx_kv_expires_at"),
        {"index key_value_store.idx_kv_expires_at": "repaired"},
    ),
    Edit(
        "another index of that name",
        both(
            "DROP INDEX idx_request_logs_trace_id_id",
            "CREATE INDEX idx_request_logs_trace_id_id ON request_logs (trace_id)",
        ),
        {"index request_logs.idx_request_logs_trace_id_id": "repaired"},
    ),
    Edit(
        "an index of one's own",
        both("CREATE INDEX mine ON request_logs (provider_name)"),
        {"index request_logs.mine": "accepted"},
    ),
    Edit(
        "an invalid index",
        server("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'service_audit_logs_success_idx'::regclass"),
        {"index service_audit_logs.service_audit_logs_success_idx": "repaired"},
    ),
    Edit(
        "a foreign key that lets parents go, dropped",
        server(
            "ALTER TABLE model_mapping_providers DROP CONSTRAINT model_mapping_providers_requested_model_fkey",
        ),
        {"constraint model_mapping_providers.model_mapping_providers_requested_model_fkey": "repaired"},
    ),
    Edit(
        "a foreign key that holds parents, dropped",
        server("ALTER TABLE request_logs DROP CONSTRAINT request_logs_api_key_id_fkey"),
        {"constraint request_logs.request_logs_api_key_id_fkey": "accepted"},
    ),
    Edit(
        "a foreign key with another action",
        server(
            "ALTER TABLE model_mapping_providers DROP CONSTRAINT model_mapping_providers_provider_id_fkey",
            "ALTER TABLE model_mapping_providers ADD CONSTRAINT model_mapping_providers_provider_id_fkey "
            "FOREIGN KEY (provider_id) REFERENCES service_providers (id)",
        ),
        {"constraint model_mapping_providers.model_mapping_providers_provider_id_fkey": "repaired"},
    ),
    Edit(
        "a foreign key of an earlier revision",
        server(
            "ALTER TABLE request_logs ADD CONSTRAINT logs_provider "
            "FOREIGN KEY (provider_id) REFERENCES service_providers (id) NOT VALID"
        ),
        {"constraint request_logs.logs_provider": "repaired"},
    ),
    Edit(
        "a check of one's own",
        server("ALTER TABLE model_mappings ADD CONSTRAINT positive CHECK (input_price > -100)"),
        {"constraint model_mappings.positive": "accepted"},
    ),
    Edit(
        "a column that may be NULL",
        server("ALTER TABLE request_logs ALTER COLUMN is_completed DROP NOT NULL"),
        {"column request_logs.is_completed": "accepted"},
    ),
    Edit(
        "a column without its default",
        server("ALTER TABLE service_providers ALTER COLUMN response_timeout_seconds DROP DEFAULT"),
        {"column service_providers.response_timeout_seconds": "repaired"},
    ),
    Edit(
        "a column with another default",
        server("ALTER TABLE model_mappings ALTER COLUMN strategy SET DEFAULT 'priority'"),
        {"column model_mappings.strategy": "accepted"},
    ),
    Edit(
        "a column that is required and has no default, dropped",
        server("ALTER TABLE service_registry DROP COLUMN updated_at"),
        {"column service_registry.updated_at": "accepted"},
    ),
    Edit(
        "a column that may no more be NULL",
        server("ALTER TABLE users ALTER COLUMN is_whitelisted SET NOT NULL"),
        {},
    ),
    Edit(
        "columns dropped",
        both(
            "ALTER TABLE service_providers DROP COLUMN provider_options",
            "ALTER TABLE api_keys DROP COLUMN is_mcp_admin",
        ),
        {
            "column service_providers.provider_options": "repaired",
            "column api_keys.is_mcp_admin": "repaired",
        },
    ),
    Edit(
        "a table dropped",
        both("DROP TABLE jwt_key_rotation"),
        {"table jwt_key_rotation": "repaired"},
    ),
    Edit(
        "a shorter text",
        server("ALTER TABLE request_logs ALTER COLUMN request_url TYPE varchar(255)"),
        {"column request_logs.request_url": "repaired"},
    ),
    Edit(
        "shorter texts that something of one's own uses",
        server(
            "ALTER TABLE request_logs ALTER COLUMN request_path TYPE varchar(100)",
            "ALTER TABLE request_logs ALTER COLUMN target_model TYPE varchar(50)",
            "ALTER TABLE service_providers ALTER COLUMN name TYPE varchar(60)",
            "ALTER TABLE service_providers ALTER COLUMN base_url TYPE varchar(255)",
            "UPDATE service_providers SET protocol = 'openai'",
            "ALTER TABLE service_providers ALTER COLUMN protocol TYPE varchar(40)",
            "CREATE FUNCTION unchanged() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
            "CREATE TRIGGER of_path BEFORE UPDATE OF request_path ON request_logs "
            "FOR EACH ROW EXECUTE FUNCTION unchanged()",
            "CREATE PUBLICATION logs FOR TABLE request_logs WHERE (target_model <> '') WITH (publish = 'insert')",
            "CREATE INDEX by_lower_name ON service_providers (lower(name))",
            "ALTER TABLE service_providers ADD CONSTRAINT has_url CHECK (base_url <> 'none')",
            "CREATE FUNCTION one_protocol() RETURNS text LANGUAGE sql "
            "BEGIN ATOMIC SELECT protocol FROM service_providers LIMIT 1; END",
        ),
        {
            "column request_logs.request_path": "accepted",
            "column request_logs.target_model": "accepted",
            "column service_providers.name": "accepted",
            "column service_providers.base_url": "accepted",
            "column service_providers.protocol": "accepted",
        },
    ),
    Edit(
        "a longer text",
        server("ALTER TABLE request_logs ALTER COLUMN upstream_url TYPE text"),
        {"column request_logs.upstream_url": "accepted"},
    ),
    Edit(
        "a price with more digits",
        server("ALTER TABLE request_logs ALTER COLUMN total_cost TYPE numeric(20, 8)"),
        {"column request_logs.total_cost": "accepted"},
    ),
    Edit(
        "binary JSON",
        server("ALTER TABLE model_mappings ALTER COLUMN capabilities TYPE jsonb"),
        {"column model_mappings.capabilities": "accepted"},
    ),
    Edit(
        "an integer id",
        server(
            "ALTER TABLE request_logs ALTER COLUMN id TYPE integer", "ALTER SEQUENCE request_logs_id_seq AS integer"
        ),
        {"column request_logs.id": "accepted", "sequence request_logs_id_seq": "accepted"},
    ),
    Edit(
        "ids of a sequence without an owner",
        server(
            "CREATE SEQUENCE own_numbers START 1000 OWNED BY NONE",
            "ALTER TABLE api_keys ALTER COLUMN id SET DEFAULT nextval('own_numbers')",
            "DROP SEQUENCE api_keys_id_seq",
        ),
        {
            "sequence api_keys_id_seq": "accepted",
            "sequence own_numbers": "accepted",
            "column api_keys.id": "accepted",
        },
    ),
    Edit(
        "an identity",
        server(
            "ALTER TABLE service_providers ALTER COLUMN id DROP DEFAULT",
            "DROP SEQUENCE service_providers_id_seq",
            "ALTER TABLE service_providers ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (START 1000)",
        ),
        {"column service_providers.id": "accepted"},
    ),
    Edit(
        "a trigger under another name, with a function of its own",
        server(
            _FUNCTION,
            "DROP TRIGGER update_users_updated_at ON users",
            "CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION set_it()",
        ),
        {"trigger users.update_users_updated_at": "renamed", "function set_it()": "accepted"},
    ),
    Edit(
        "a trigger dropped",
        both("DROP TRIGGER update_service_registry_updated_at"),
        {"trigger service_registry.update_service_registry_updated_at": "repaired"},
    ),
    Edit(
        "a view, a sequence and a function of one's own",
        server(
            "CREATE VIEW recent AS SELECT id, request_path FROM request_logs",
            "CREATE SEQUENCE spare",
            "CREATE FUNCTION one() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        ),
        {"view recent": "accepted", "sequence spare": "accepted", "function one()": "accepted"},
    ),
    Edit(
        "storage options",
        server("ALTER TABLE request_logs SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01)"),
        {"table request_logs": "accepted"},
    ),
    Edit(
        "ids that are never used again",
        file(
            "DROP TABLE request_log_details",
            "CREATE TABLE request_log_details (log_id INTEGER PRIMARY KEY AUTOINCREMENT, request_body JSON)",
        ),
        {"table request_log_details": "accepted"},
    ),
    Edit(
        "a unique index for a constraint, types and defaults in other words",
        file(
            "DROP TABLE users",
            "CREATE TABLE users (id CHAR(32) NOT NULL PRIMARY KEY, github_user_id INT8 NOT NULL, "
            "github_access_token TEXT, github_refresh_token TEXT, github_token_expires_at TIMESTAMP, "
            "is_whitelisted BOOLEAN NOT NULL DEFAULT 0, created_at TIMESTAMP NOT NULL, updated_at TIMESTAMP NOT NULL)",
            "CREATE UNIQUE INDEX users_github ON users (github_user_id)",
        ),
        {
            "constraint users.users_github_user_id_key": "accepted",
            "constraint users.users_pkey": "renamed",
            "column users.is_whitelisted": "renamed",
            "column users.created_at": "repaired",
            "trigger users.update_users_updated_at": "repaired",
        },
    ),
    Edit(
        "a unique constraint of an earlier revision",
        file(
            "DROP TABLE model_mapping_providers",
            "CREATE TABLE model_mapping_providers (id INTEGER NOT NULL PRIMARY KEY, "
            "requested_model VARCHAR(100) NOT NULL, provider_id INTEGER NOT NULL, "
            "target_model_name VARCHAR(100) NOT NULL, priority INTEGER NOT NULL, weight INTEGER NOT NULL, "
            "CONSTRAINT uq_model_provider UNIQUE (requested_model, provider_id))",
            "INSERT INTO model_mapping_providers VALUES "
            "(7, (SELECT max(requested_model) FROM model_mappings), (SELECT max(id) FROM service_providers), "
            "'t', 0, 1)",
        ),
        {
            "constraint model_mapping_providers.uq_model_provider": "repaired",
            "constraint model_mapping_providers.model_mapping_providers_provider_id_fkey": "repaired",
        },
    ),
    Edit(
        "the bookkeeping of another tool",
        both("CREATE TABLE flyway_schema_history (installed_rank integer PRIMARY KEY)"),
        {"table flyway_schema_history": "accepted"},
    ),
]
REFUSED = [
    Edit("an unknown table", both("CREATE TABLE invoices (id integer PRIMARY KEY)"), {"table invoices": "person"}),
    Edit(
        "an unknown column",
        both("ALTER TABLE users ADD COLUMN nick text"),
        {"column users.nick": "person"},
    ),
    Edit(
        "a time without zone",
        server("ALTER TABLE users ALTER COLUMN created_at TYPE timestamp"),
        {"column users.created_at": "person"},
    ),
    Edit(
        "ids as text",
        server("ALTER TABLE service_audit_logs ALTER COLUMN user_id TYPE text"),
        {"column service_audit_logs.user_id": "person"},
    ),
    Edit(
        "a function that does something else",
        server(
            "CREATE OR REPLACE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM 1; RETURN NEW; END $$"
        ),
        {"function update_updated_at_column()": "person"},
    ),
    Edit(
        "a key dropped",
        server("ALTER TABLE service_audit_logs DROP CONSTRAINT service_audit_logs_pkey"),
        {"constraint service_audit_logs.service_audit_logs_pkey": "person"},
    ),
    Edit(
        "rows that are the same",
        server(
            "ALTER TABLE users DROP CONSTRAINT users_github_user_id_key",
            "UPDATE users SET github_user_id = 7",
        ),
        {"constraint users.users_github_user_id_key": "person"},
    ),
    Edit(
        "rows that are the same, and rows without their parents",
        file(
            "DROP TABLE revoked_tokens",
            "CREATE TABLE revoked_tokens (id CHAR(32) PRIMARY KEY, jti VARCHAR(255) NOT NULL)",
            "INSERT INTO revoked_tokens VALUES ('a', 'the same'), ('b', 'the same')",
            "DROP TABLE request_log_details",
            "CREATE TABLE request_log_details (log_id INTEGER PRIMARY KEY)",
            "INSERT INTO request_log_details VALUES (987654)",
        ),
        {
            "constraint revoked_tokens.revoked_tokens_jti_key": "person",
            "constraint request_log_details.request_log_details_log_id_fkey": "person",
        },
    ),
    Edit(
        "ids of another form",
        file("DROP TABLE jwt_key_rotation", "CREATE TABLE jwt_key_rotation (id TEXT PRIMARY KEY)"),
        {"column jwt_key_rotation.id": "person"},
    ),
    Edit(
        "rows without their parents",
        server(
            "ALTER TABLE request_log_details DROP CONSTRAINT request_log_details_log_id_fkey",
            "UPDATE request_log_details SET log_id = log_id + 1000000",
        ),
        {"constraint request_log_details.request_log_details_log_id_fkey": "person"},
    ),
    Edit(
        "a copy of a table, whose former indexes keep their names",
        server(
            "ALTER TABLE revoked_tokens RENAME TO revoked_before",
            "CREATE TABLE revoked_tokens (LIKE revoked_before INCLUDING ALL)",
        ),
        {
            "table revoked_before": "person",
            "constraint revoked_before.revoked_tokens_pkey": "person",
            "constraint revoked_before.revoked_tokens_jti_key": "person",
            "index revoked_before.revoked_tokens_jti_idx": "person",
            "index revoked_before.revoked_tokens_revoked_at_idx": "person",
            "index revoked_before.revoked_tokens_token_expires_at_idx": "person",
            "index revoked_before.revoked_tokens_user_id_idx": "person",
        },
    ),
    Edit(
        "an index of another table under head's name",
        both(
            "DROP INDEX idx_request_logs_model",
            "CREATE INDEX idx_request_logs_model ON request_log_details (log_id)",
        ),
        {"index request_log_details.idx_request_logs_model": "person"},
    ),
    Edit(
        "another index under the name of a constraint",
        server(
            "ALTER TABLE service_providers DROP CONSTRAINT service_providers_name_key",
            "CREATE UNIQUE INDEX service_providers_name_key ON service_providers (name) WHERE is_active",
        ),
        {"index service_providers.service_providers_name_key": "person"},
    ),
    Edit(
        "a table whose name has other letters",
        file("DROP TABLE key_value_store", 'CREATE TABLE "Key_Value_Store" (id integer PRIMARY KEY)'),
        {"table Key_Value_Store": "person"},
    ),
]
