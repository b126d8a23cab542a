"""Lists kinds of drift: the statements, what `schema check` says, and how the models take them over."""

from dataclasses import dataclass, field

# The last revision that changes rows.
ENCRYPTS = "20260228000000"
_ACTIVE = "is_active BOOLEAN DEFAULT true NOT NULL"


@dataclass(frozen=True)
class Kind:
    """One kind of drift.

    Attributes:
        sqlite, postgresql: statements that cause it; none if there is no such thing. `table | old | new` is a copy.
        named: the beginnings of the lines that `check` prints, no more and no less.
        models: code that makes the models agree, after a revision has taken it over.
        wanted: what the models still want after that.
        adoptable: a revision can take it over.
    """

    name: str
    named: list[str]
    sqlite: list[str] = field(default_factory=list)
    postgresql: list[str] = field(default_factory=list)
    models: str = ""
    wanted: list[str] = field(default_factory=list)
    adoptable: bool = True

    def statements(self, dialect: str) -> list[str]:
        return self.sqlite if dialect == "sqlite" else self.postgresql


def _both(name: str, statements: list[str], named: list[str], models: str = "") -> Kind:
    return Kind(name, named, statements, statements, models)


def _index_again(table: str, name: str, **options: str) -> str:
    """Code that replaces an index of the models by one with these options."""
    listed = ", ".join(f"{option}={code}" for option, code in options.items())
    return f"""\
(index,) = [index for index in tables[{table!r}].indexes if index.name == {name!r}]
tables[{table!r}].indexes.remove(index)
sa.Index({name!r}, *index.columns, {listed})
"""


_WHERES = ("postgresql_where", "sqlite_where")
_TOUCH = "CREATE TRIGGER touch AFTER INSERT ON users BEGIN UPDATE users SET is_whitelisted = true WHERE false; END"
_NOT_OURS = "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
_UPDATED = "update_users_updated_at"

KINDS = [
    _both(
        "column added",
        ["ALTER TABLE users ADD COLUMN nick VARCHAR(50)"],
        ["column users.nick: is there, and should not be ("],
        'tables["users"].append_column(sa.Column("nick", sa.String(50)))',
    ),
    _both(
        "column added with a default",
        ["ALTER TABLE users ADD COLUMN level INTEGER DEFAULT 3 NOT NULL"],
        ["column users.level: is there, and should not be ("],
        'tables["users"].append_column(sa.Column("level", sa.Integer, server_default=sa.text("3"), nullable=False))',
    ),
    _both(
        "column dropped",
        ["ALTER TABLE request_logs DROP COLUMN request_path"],
        ["column request_logs.request_path: is not there, and should be ("],
        'tables["request_logs"]._columns.remove(tables["request_logs"].c.request_path)',
    ),
    _both(
        "column renamed",
        ["ALTER TABLE users RENAME COLUMN is_whitelisted TO is_welcome"],
        ["column users.is_whitelisted: name is 'is_welcome', should be 'is_whitelisted'"],
        'old = tables["users"].c.is_whitelisted\n'
        'tables["users"]._columns.remove(old)\n'
        'tables["users"].append_column(sa.Column("is_welcome", sa.Boolean, server_default=sa.text("false"), '
        "nullable=False, comment=old.comment))",
    ),
    _both(
        "indexed column renamed",
        ["ALTER TABLE request_logs RENAME COLUMN request_time TO requested_at"],
        ["column request_logs.request_time: name is 'requested_at', should be 'request_time'"],
        'table = tables["request_logs"]\n'
        "old = table.c.request_time\n"
        "named = [(i.name, [c.name for c in i.columns]) for i in table.indexes if old in list(i.columns)]\n"
        "table.indexes -= {i for i in table.indexes if old in list(i.columns)}\n"
        "table._columns.remove(old)\n"
        'table.append_column(sa.Column("requested_at", old.type, nullable=False, comment=old.comment))\n'
        "for name, columns in named:\n"
        '    sa.Index(name, *(table.c[c if c != "request_time" else "requested_at"] for c in columns))',
    ),
    Kind(
        "column retyped",
        ["column api_keys.key_name: type is "],
        ["api_keys | key_name VARCHAR(100) | key_name VARCHAR(200)"],
        ["ALTER TABLE api_keys ALTER key_name TYPE varchar(200)"],
        'tables["api_keys"].c.key_name.type = sa.String(200)',
    ),
    Kind(
        "time zone lost",
        ["column users.created_at: type is 'timestamp without time zone', should be 'timestamp(6) with time zone'"],
        [],
        ["ALTER TABLE users ALTER created_at TYPE timestamp"],
        'tables["users"].c.created_at.type = sa.DateTime()',
    ),
    Kind(
        "collation changed",
        ["column api_keys.key_name: collation is "],
        ["api_keys | key_name VARCHAR(100) | key_name VARCHAR(100) COLLATE NOCASE"],
        ['ALTER TABLE api_keys ALTER key_name TYPE varchar(100) COLLATE "C"'],
        """\
kind = sa.String(100, "C").with_variant(sa.String(100, "NOCASE"), "sqlite")
tables["api_keys"].c.key_name.type = kind
""",
    ),
    Kind(
        "default changed",
        ["column users.is_whitelisted: default is 'true', should be 'false'"],
        ["users | DEFAULT false | DEFAULT true"],
        ["ALTER TABLE users ALTER is_whitelisted SET DEFAULT true"],
        'tables["users"].c.is_whitelisted.server_default = sa.DefaultClause(sa.text("true"))',
    ),
    Kind(
        "default dropped",
        ["column model_mappings.strategy: default is not set, should be \"'round_robin'"],
        ["model_mappings | DEFAULT 'round_robin' | "],
        ["ALTER TABLE model_mappings ALTER strategy DROP DEFAULT"],
        'tables["model_mappings"].c.strategy.server_default = None',
    ),
    Kind(
        "default added",
        ["column api_keys.key_name: default is \"'n/a: 100 %'"],
        ["api_keys | key_name VARCHAR(100) | key_name VARCHAR(100) DEFAULT 'n/a: 100 %'"],
        ["ALTER TABLE api_keys ALTER key_name SET DEFAULT 'n/a: 100 %'"],
        'tables["api_keys"].c.key_name.server_default = sa.DefaultClause("n/a: 100 %")',
    ),
    Kind(
        "NOT NULL dropped",
        ["column service_audit_logs.action: nullable is true, should be false"],
        ["service_audit_logs | action VARCHAR(100) NOT NULL | action VARCHAR(100)"],
        ["ALTER TABLE service_audit_logs ALTER action DROP NOT NULL"],
        'tables["service_audit_logs"].c.action.nullable = True',
    ),
    Kind(
        "NOT NULL set",
        ["column users.github_token_expires_at: nullable is false, should be true"],
        ["users | github_token_expires_at DATETIME | github_token_expires_at DATETIME NOT NULL"],
        ["ALTER TABLE users ALTER github_token_expires_at SET NOT NULL"],
        'tables["users"].c.github_token_expires_at.nullable = False',
    ),
    Kind(
        "comment of a column changed",
        ["column users.id: comment is \"it's another\", should be 'Key of the row, made by the application.'"],
        [],
        ["COMMENT ON COLUMN users.id IS 'it''s another'"],
        'tables["users"].c.id.comment = "it\'s another"',
    ),
    Kind(
        "comment of a table dropped",
        ["table users: comment is not set, should be 'GitHub accounts that have signed in.'"],
        [],
        ["COMMENT ON TABLE users IS NULL"],
        'tables["users"].comment = None',
    ),
    Kind(
        "index dropped",
        ["index request_logs.idx_request_logs_time: is not there, and should be (CREATE INDEX "],
        ["DROP INDEX idx_request_logs_time"],
        ["DROP INDEX idx_request_logs_time"],
        't = tables["request_logs"]; t.indexes -= {i for i in t.indexes if i.name == "idx_request_logs_time"}',
    ),
    _both(
        "index added",
        ["CREATE INDEX users_created_at_idx ON users (created_at)"],
        ["index users.users_created_at_idx: is there, and should not be (CREATE INDEX "],
        'sa.Index("users_created_at_idx", tables["users"].c.created_at)',
    ),
    _both(
        "index renamed",
        [
            "DROP INDEX service_registry_is_active_idx",
            "CREATE INDEX idx_service_registry_active ON service_registry (is_active)",
        ],
        ["index service_registry.service_registry_is_active_idx: name is 'idx_service_registry_active', should be "],
        't = tables["service_registry"]\n'
        't.indexes -= {i for i in t.indexes if i.name == "service_registry_is_active_idx"}\n'
        'sa.Index("idx_service_registry_active", t.c.is_active)',
    ),
    _both(
        "index with another predicate",
        [
            "DROP INDEX service_registry_is_active_idx",
            "CREATE INDEX service_registry_is_active_idx ON service_registry (is_active) WHERE is_active",
        ],
        ["index service_registry.service_registry_is_active_idx: definition is 'CREATE INDEX "],
        _index_again(
            "service_registry", "service_registry_is_active_idx", **dict.fromkeys(_WHERES, 'sa.text("is_active")')
        ),
    ),
    _both(
        "index made unique",
        [
            "DROP INDEX service_registry_service_identifier_idx",
            "CREATE UNIQUE INDEX service_registry_service_identifier_idx ON service_registry (service_identifier)",
        ],
        ["index service_registry.service_registry_service_identifier_idx: definition is 'CREATE UNIQUE INDEX "],
        't = tables["service_registry"]\n'
        't.indexes -= {i for i in t.indexes if i.name == "service_registry_service_identifier_idx"}\n'
        'sa.Index("service_registry_service_identifier_idx", t.c.service_identifier, unique=True)',
    ),
    Kind(
        "index with another method",
        ["index request_logs.idx_request_logs_model: definition is 'CREATE INDEX "],
        [],
        [
            "DROP INDEX idx_request_logs_model",
            "CREATE INDEX idx_request_logs_model ON request_logs USING hash (requested_model)",
        ],
        _index_again("request_logs", "idx_request_logs_model", postgresql_using='"hash"'),
    ),
    Kind(
        "index made invalid",
        ["index request_logs.idx_request_logs_model: valid is false, should be true"],
        [],
        ["UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_request_logs_model'::regclass"],
        adoptable=False,
    ),
    Kind(
        "unique constraint dropped",
        ["constraint api_keys.api_keys_key_name_key: is not there, and should be (UNIQUE (key_name))"],
        ["api_keys | CONSTRAINT api_keys_key_name_key UNIQUE (key_name) | "],
        ["ALTER TABLE api_keys DROP CONSTRAINT api_keys_key_name_key"],
        't = tables["api_keys"]\n'
        't.constraints -= {c for c in t.constraints if [x.name for x in c.columns] == ["key_name"]}',
    ),
    Kind(
        "unique constraint added",
        ["constraint service_providers.service_providers_base_url_key: is there, and should not be (UNIQUE "],
        [
            (
                "service_providers | CONSTRAINT service_providers_pkey | CONSTRAINT service_providers_base_url_key "
                "UNIQUE (base_url), CONSTRAINT service_providers_pkey"
            )
        ],
        ["ALTER TABLE service_providers ADD UNIQUE (base_url)"],
        't = tables["service_providers"]; t.append_constraint(sa.UniqueConstraint(t.c.base_url))',
    ),
    Kind(
        "foreign key dropped",
        ["constraint request_logs.request_logs_api_key_id_fkey: is not there, and should be (FOREIGN KEY "],
        ["request_logs | CONSTRAINT request_logs_api_key_id_fkey FOREIGN KEY(api_key_id) REFERENCES api_keys (id) | "],
        ["ALTER TABLE request_logs DROP CONSTRAINT request_logs_api_key_id_fkey"],
        't = tables["request_logs"]\n'
        "gone = [c for c in t.foreign_key_constraints if c.column_keys == ['api_key_id']][0]\n"
        "t.constraints.discard(gone)\n"
        "for key in gone.elements:\n"
        "    key.parent.foreign_keys.discard(key); t.foreign_keys.discard(key)",
    ),
    Kind(
        "foreign key that deletes no more",
        ["constraint model_mapping_providers.model_mapping_providers_provider_id_fkey: definition is 'FOREIGN KEY "],
        ["model_mapping_providers | service_providers (id) ON DELETE CASCADE | service_providers (id)"],
        [
            "ALTER TABLE model_mapping_providers DROP CONSTRAINT model_mapping_providers_provider_id_fkey",
            "ALTER TABLE model_mapping_providers ADD FOREIGN KEY (provider_id) REFERENCES service_providers",
        ],
        't = tables["model_mapping_providers"]\n'
        "for c in t.foreign_key_constraints:\n"
        "    if c.column_keys == ['provider_id']:\n"
        "        c.ondelete = c.elements[0].ondelete = None",
    ),
    Kind(
        "constraint renamed",
        ["constraint api_keys.api_keys_key_value_key: name is 'one_key', should be 'api_keys_key_value_key'"],
        ["api_keys | api_keys_key_value_key | one_key"],
        ["ALTER TABLE api_keys RENAME CONSTRAINT api_keys_key_value_key TO one_key"],
        'for c in tables["api_keys"].constraints:\n'
        "    if [x.name for x in c.columns] == ['key_value']:\n"
        "        c.name = sa.schema.conv('one_key')",
    ),
    Kind(
        "check constraint added",
        ["constraint model_mapping_providers.positive_weight: is there, and should not be (CHECK "],
        [
            (
                "model_mapping_providers | CONSTRAINT model_mapping_providers_pkey | "
                "CONSTRAINT positive_weight CHECK (weight >= 0), CONSTRAINT model_mapping_providers_pkey"
            )
        ],
        ["ALTER TABLE model_mapping_providers ADD CONSTRAINT positive_weight CHECK (weight >= 0)"],
        't = tables["model_mapping_providers"]\n'
        't.append_constraint(sa.CheckConstraint("weight >= 0", name=sa.schema.conv("positive_weight")))',
    ),
    Kind(
        "constraint not valid",
        ["constraint request_logs.request_logs_api_key_id_fkey: valid is false, should be true"],
        [],
        [
            "ALTER TABLE request_logs DROP CONSTRAINT request_logs_api_key_id_fkey",
            "ALTER TABLE request_logs ADD FOREIGN KEY (api_key_id) REFERENCES api_keys NOT VALID",
        ],
        """\
for key in tables["request_logs"].c.api_key_id.foreign_keys:
    key.constraint.dialect_kwargs["postgresql_not_valid"] = True
""",
    ),
    Kind(
        "primary key dropped",
        ["constraint service_audit_logs.service_audit_logs_pkey: is not there, and should be (PRIMARY KEY (id))"],
        ["service_audit_logs | CONSTRAINT service_audit_logs_pkey PRIMARY KEY (id) | "],
        ["ALTER TABLE service_audit_logs DROP CONSTRAINT service_audit_logs_pkey"],
        wanted=["add constraint service_audit_logs_pkey of service_audit_logs"],
    ),
    Kind(
        "trigger disabled",
        ["trigger users.update_users_updated_at: enabled is false, should be true"],
        [],
        ["ALTER TABLE users DISABLE TRIGGER USER"],
    ),
    Kind(
        "trigger changed",
        ["trigger users.update_users_updated_at: definition is "],
        [
            f"DROP TRIGGER {_UPDATED}",
            f"CREATE TRIGGER {_UPDATED} AFTER UPDATE ON users BEGIN SELECT 'a:1'; END",
        ],
        [
            f"DROP TRIGGER {_UPDATED} ON users",
            (
                f"CREATE TRIGGER {_UPDATED} BEFORE UPDATE ON users FOR EACH ROW WHEN (NEW.is_whitelisted) "
                "EXECUTE FUNCTION update_updated_at_column()"
            ),
        ],
        "from app.triggers import Trigger\n"
        f'metadata.info["triggers"]["{_UPDATED}"] = Trigger("{_UPDATED}", "users", '
        'postgresql="BEFORE UPDATE ON users FOR EACH ROW WHEN (new.is_whitelisted) '
        'EXECUTE FUNCTION update_updated_at_column()", '
        "sqlite=\"AFTER UPDATE ON users BEGIN SELECT 'a:1'; END\")",
    ),
    Kind(
        "trigger dropped",
        ["trigger users.update_users_updated_at: is not there, and should be (CREATE TRIGGER "],
        [f"DROP TRIGGER {_UPDATED}"],
        [f"DROP TRIGGER {_UPDATED} ON users"],
        f'del metadata.info["triggers"]["{_UPDATED}"]',
    ),
    Kind(
        "somebody's trigger",
        ["trigger users.touch: is there, and should not be (CREATE TRIGGER "],
        [_TOUCH],
        [
            "CREATE TRIGGER touch BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION update_updated_at_column()",
        ],
    ),
    Kind("function added", ["function touch(): is there, and should not be (CREATE "], [], [_NOT_OURS]),
    Kind(
        "function changed",
        ["function update_updated_at_column(): definition is 'CREATE OR REPLACE FUNCTION "],
        [],
        [
            _NOT_OURS.replace("CREATE FUNCTION touch", "CREATE OR REPLACE FUNCTION update_updated_at_column"),
        ],
        wanted=["add trigger function update_updated_at_column"],
    ),
    Kind(
        "table too many",
        ["table notes: is there, and should not be"],
        [
            (
                "CREATE TABLE notes (id INTEGER NOT NULL, text VARCHAR(20) DEFAULT 'a' NOT NULL, owner BIGINT, "
                "CONSTRAINT notes_pkey PRIMARY KEY (id), CONSTRAINT notes_owner_fkey FOREIGN KEY (owner) "
                "REFERENCES users (github_user_id))"
            ),
            "CREATE INDEX notes_text_idx ON notes (text)",
        ],
        [
            (
                "CREATE TABLE notes (id serial PRIMARY KEY, text varchar(20) DEFAULT 'a' NOT NULL, "
                "owner bigint REFERENCES users (github_user_id))"
            ),
            "CREATE INDEX notes_text_idx ON notes (text)",
        ],
        'sa.Table("notes", metadata, sa.Column("id", sa.Integer, primary_key=True), '
        'sa.Column("text", sa.String(20), server_default="a", nullable=False, index=True), '
        'sa.Column("owner", sa.BigInteger, sa.ForeignKey("users.github_user_id")))',
    ),
    _both(
        "table too few",
        ["DROP TABLE service_audit_logs"],
        ["table service_audit_logs: is not there, and should be"],
        'metadata.remove(tables["service_audit_logs"])',
    ),
    _both(
        "table renamed",
        ["ALTER TABLE service_audit_logs RENAME TO audit_logs"],
        ["table service_audit_logs: name is 'audit_logs', should be 'service_audit_logs'"],
        'old = tables["service_audit_logs"]\nnew = old.to_metadata(metadata, name="audit_logs")\nmetadata.remove(old)',
    ),
    _both(
        "view added",
        ["CREATE VIEW welcome AS SELECT id, '100 %:a' AS b FROM users WHERE is_whitelisted"],
        ["view welcome: is there, and should not be ("],
    ),
    Kind(
        "sequence added",
        ["sequence tickets: is there, and should not be ("],
        [],
        ["CREATE SEQUENCE tickets"],
        'sa.Sequence("tickets", metadata=metadata)',
    ),
    Kind(
        "sequence changed",
        ["sequence api_keys_id_seq: increment is 10, should be 1"],
        [],
        ["ALTER SEQUENCE api_keys_id_seq INCREMENT 10"],
        wanted=["change increment of api_keys_id_seq from 10 to 1"],
    ),
    Kind(
        "enumeration added",
        ["enum mood: is there, and should not be ("],
        [],
        ["CREATE TYPE mood AS ENUM ('a', 'b')"],
        'sa.Enum("a", "b", name="mood", metadata=metadata)',
    ),
    Kind(
        "table unlogged",
        ["table service_audit_logs: unlogged is true, should be not set"],
        [],
        ["ALTER TABLE service_audit_logs SET UNLOGGED"],
        'tables["service_audit_logs"]._prefixes = ["UNLOGGED"]',
    ),
    Kind(
        "ids that count",
        ["table api_keys: options is ['AUTOINCREMENT'], should be not set"],
        [
            "api_keys | CONSTRAINT api_keys_pkey PRIMARY KEY (id) | ",
            "api_keys | id INTEGER NOT NULL | id INTEGER CONSTRAINT api_keys_pkey PRIMARY KEY AUTOINCREMENT NOT NULL",
        ],
        models='tables["api_keys"].dialect_options["sqlite"]["autoincrement"] = True',
    ),
]
