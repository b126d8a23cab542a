"""Effects of statements by PostgreSQL's grammar, and the changes of a type that lose nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.migrations.rules.casts import widens
from app.migrations.sql import Statement, effects_of_trigger
from app.migrations.sql.statement import MOST_CHARACTERS
from app.sql_text import parts_of, qualified
from tests.support.effect_texts import effects_of, short

# --- PostgreSQL --------------------------------------------------------------------------------------------------

POSTGRESQL: dict[str, list[str]] = {
    "": [],
    ";": [],
    "-- DROP TABLE users": [],
    "/* DROP TABLE /* users */ */ SELECT 1": [],
    "SELECT 'DROP TABLE users'": [],
    "SELECT * INTO kept FROM users": ["create_table kept", "fill kept"],
    "SELECT * INTO TEMP kept FROM users": ["create_table kept to temporary", "fill kept"],
    "DROP TABLE users": ["drop_table users"],
    "drop table if exists only_here, public.users, s.users": [
        "drop_table only_here",
        "drop_table users",
        "drop_table s.users",
    ],
    "DROP TABLE s.users CASCADE": ["drop_table s.users", "cascade table s.users"],
    'DROP TABLE "Users", "a.b", s."a""b", "public"': [
        "drop_table Users",
        'drop_table "a.b"',
        'drop_table s."a""b"',
        "drop_table public",
    ],
    "/* a */ DROP -- b\n TABLE users": ["drop_table users"],
    "DROP FOREIGN TABLE far": ["drop_table far"],
    "DROP VIEW v": [],
    "DROP MATERIALIZED VIEW v": [],
    "DROP INDEX CONCURRENTLY i": [],
    "DROP TYPE mood": [],
    "DROP TYPE s.mood CASCADE": ["cascade type s.mood"],
    "DROP DOMAIN d CASCADE": ["cascade domain d"],
    "DROP FUNCTION f(integer) CASCADE": ["cascade function f"],
    "DROP EXTENSION citext CASCADE": ["cascade extension citext"],
    "DROP SCHEMA s": ["drop_schema s"],
    "DROP SCHEMA s, public CASCADE": ["drop_schema s", "drop_schema public"],
    "DROP OWNED BY somebody": ["opaque DROP OWNED"],
    "DROP DATABASE gateway": ["opaque DROPDB"],
    "ALTER TABLE users DROP COLUMN a": ["drop_column users.a"],
    "ALTER TABLE ONLY s.users DROP IF EXISTS a CASCADE, DROP b": ["drop_column s.users.a", "drop_column s.users.b"],
    "ALTER TABLE users ALTER a TYPE varchar(5)": ["alter_type users.a to varchar(5)"],
    "ALTER TABLE users ALTER COLUMN a SET DATA TYPE numeric(4, 2) USING a::numeric / 2": [
        "alter_type users.a to numeric(4, 2) using a::numeric / 2"
    ],
    'ALTER TABLE users ALTER a TYPE "Mood"[] USING NULL': ['alter_type users.a to "Mood"[] using NULL'],
    "ALTER TABLE users ALTER a TYPE timestamp with time zone": ["alter_type users.a to timestamp with time zone"],
    "ALTER TABLE users ALTER a SET NOT NULL, ALTER b DROP NOT NULL": ["set_not_null users.a"],
    "ALTER TABLE users ADD a integer": ["add_column users.a"],
    "ALTER TABLE users ADD COLUMN IF NOT EXISTS a integer NOT NULL": ["add_column users.a to required"],
    "ALTER TABLE users ADD a integer NOT NULL DEFAULT 0": ["add_column users.a"],
    "ALTER TABLE users ADD a bigserial NOT NULL": ["add_column users.a"],
    "ALTER TABLE users ADD a integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY": ["add_column users.a"],
    "ALTER TABLE users ADD a integer PRIMARY KEY": ["add_column users.a to required"],
    "ALTER TABLE users ADD UNIQUE (a, b)": ["add_unique users.a,b"],
    "ALTER TABLE users ADD CONSTRAINT c NOT NULL a, ADD NOT NULL b NOT VALID": ["set_not_null users.a"],
    "ALTER TABLE users SET SCHEMA s": ["rename_table users to s, users"],
    "ALTER TABLE users ADD PRIMARY KEY (a)": ["set_not_null users.a", "add_unique users.a"],
    "ALTER TABLE users ADD UNIQUE USING INDEX i": [],
    "ALTER TABLE users ADD CHECK (a > 0), ADD FOREIGN KEY (a) REFERENCES b, DROP CONSTRAINT c CASCADE": [
        "add_check users",
        "add_foreign_key users.a",
    ],
    "ALTER TABLE users ADD CONSTRAINT c CHECK (a > 0) NOT VALID": ["add_check users"],
    "ALTER TABLE users VALIDATE CONSTRAINT c": ["validate users"],
    "ALTER TABLE users RENAME TO people": ["rename_table users to people"],
    "ALTER TABLE users RENAME a TO b": ["rename_column users.a to b"],
    "ALTER TABLE users RENAME CONSTRAINT a TO b": [],
    "ALTER INDEX i RENAME TO j": [],
    "ALTER TYPE mood ADD VALUE 'glad'": [],
    "ALTER TYPE mood RENAME TO temper": [],
    "CREATE UNIQUE INDEX CONCURRENTLY i ON s.users (a, b)": ["add_unique s.users.a,b"],
    "CREATE UNIQUE INDEX i ON users (lower(a))": ["add_unique users in part", "call lower"],
    "CREATE UNIQUE INDEX i ON users (a) WHERE b": ["add_unique users.a in part"],
    "CREATE INDEX i ON users (a)": [],
    "CREATE TABLE IF NOT EXISTS users (id integer)": ["create_table users"],
    "CREATE TABLE kept AS SELECT * FROM users": ["create_table kept", "fill kept"],
    "CREATE TYPE s.mood AS ENUM ('glad', 'it''s')": ["create_enum s.mood to glad, it's"],
    "TRUNCATE users": ["truncate users"],
    "TRUNCATE ONLY users, s.b RESTART IDENTITY CASCADE": [
        "truncate users to only",
        "cascade truncate users",
        "truncate s.b",
        "cascade truncate s.b",
    ],
    "DELETE FROM users": ["delete users"],
    "DELETE FROM users WHERE true AND %(a)s": ["delete users"],
    "DELETE FROM users WHERE EXISTS (SELECT 1)": ["delete users in part"],
    "DELETE FROM pg_enum WHERE enumlabel = 'sad'": ["opaque DELETE FROM pg_enum"],
    "UPDATE pg_catalog.pg_attribute SET attname = 'b' WHERE false": ["opaque UPDATE pg_catalog.pg_attribute"],
    "DELETE FROM ONLY s.users AS u USING b WHERE u.id = b.id": ["delete s.users to only in part"],
    "UPDATE users SET a = 1": ["update users.a"],
    "UPDATE users SET (a, b) = (SELECT 1, 2 WHERE true)": ["update users.a,b"],
    "UPDATE users SET a = %(a)s::jsonb WHERE b LIKE 'x%%' AND c = %(c)s": ["update users.a in part"],
    "INSERT INTO users VALUES (%(a)s, %s) ON CONFLICT (id) DO UPDATE SET a = 1": ["fill users"],
    "COPY users FROM stdin": ["fill users"],
    "MERGE INTO users USING b ON true WHEN MATCHED THEN DELETE": ["opaque MERGE INTO users"],
    "CALL p()": ["opaque CALL", "call p"],
    "PREPARE p AS DELETE FROM users": ["opaque PREPARE", "delete users"],
    "EXECUTE p": ["opaque EXECUTE"],
    "WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone": ["delete users"],
    "WITH gone AS (DELETE FROM users RETURNING *) INSERT INTO kept SELECT * FROM gone": ["fill kept", "delete users"],
    "WITH a AS (SELECT 1 WHERE true) DELETE FROM users": ["delete users"],
    "EXPLAIN ANALYZE UPDATE users SET a = 1": ["update users.a"],
    "COPY (DELETE FROM users RETURNING *) TO stdout": ["delete users"],
    "SELECT 1; DROP TABLE users; DELETE FROM b WHERE c": ["drop_table users", "delete b in part"],
    "BEGIN; COMMIT": [],
    "DO $$ BEGIN DROP TABLE users; UPDATE b SET c = 1; END $$": ["drop_table users", "update b.c"],
    "DO LANGUAGE plpgsql $$ BEGIN IF EXISTS (SELECT 1) THEN DELETE FROM users; END IF; END $$": ["delete users"],
    "DO $$ DECLARE r record; BEGIN FOR r IN DELETE FROM users RETURNING * LOOP NULL; END LOOP; END $$": [
        "delete users"
    ],
    "DO $$ DECLARE n integer; BEGIN n := (SELECT 1); PERFORM f(n); RETURN; EXCEPTION WHEN others THEN NULL; END $$": [
        "call f"
    ],
    "DO $$ DECLARE n integer := f(); BEGIN n := s.g(n); IF h(n) THEN RETURN; END IF; END $$": [
        "call f",
        "call s.g",
        "call h",
    ],
    "DO $$ BEGIN EXECUTE 'DROP TABLE ' || 'users'; END $$": ["opaque DO block with EXECUTE"],
    "DO $$ DECLARE c refcursor; BEGIN OPEN c FOR EXECUTE 'SELECT 1'; END $$": ["opaque DO block with EXECUTE"],
    "DO $$ BEGIN CALL p(); END $$": ["opaque CALL", "call p"],
    "DO $$ this is no block $$": ["opaque DO block"],
    "DO LANGUAGE plpython3u 'plpy.execute(x)'": ["opaque DO block in plpython3u"],
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DELETE FROM users'": ["define f"],
    "CREATE FUNCTION f() RETURNS void BEGIN ATOMIC DELETE FROM users; END": ["define f"],
    "CREATE TRIGGER t AFTER INSERT ON users EXECUTE FUNCTION f()": ["define trigger"],
    "SELECT f(count(*)), pg_catalog.lower('x'), s.g() FROM users": ["call f", "call count", "call s.g"],
    "EXPLAIN DELETE FROM users": [],
    "CREATE TEMP TABLE kept (a integer) ON COMMIT DROP": ["create_table kept to fleeting"],
    "SET search_path TO s, public": ["set_path SET search_path"],
    "SET LOCAL ROLE somebody; SET lock_timeout = 1": ["set_path SET role"],
    "RESET ALL": ["set_path RESET ALL"],
    "DISCARD TEMP": ["set_path DISCARD"],
    "SELECT pg_catalog.set_config('search_path', '', false)": ["set_path set_config"],
    "SELECT set_config('lock_timeout', '1s', true)": [],
    "SELECT query_to_xml('DELETE FROM users', true, true, '')": ["opaque query_to_xml()"],
    "CREATE RULE r AS ON INSERT TO a DO INSTEAD DELETE FROM users": ["delete users"],
    "DROP TABEL users": ["opaque SQL that PostgreSQL's grammar doesn't know"],
    "DROP TABLE users, \x00": ["opaque SQL that PostgreSQL's grammar doesn't know"],
    f"SELECT '{'x' * MOST_CHARACTERS}'": ["opaque SQL of more than 100,000 characters"],
}


@pytest.mark.parametrize("statement", POSTGRESQL, ids=lambda statement: statement[:60])
def test_a_statement_has_its_effects_on_postgresql(statement: str) -> None:
    assert short(effects_of("postgresql", statement)) == POSTGRESQL[statement]


TRIGGERS: dict[str, list[str]] = {
    "BEGIN TRUNCATE users; RETURN NULL; END": ["truncate users"],
    "BEGIN EXECUTE $$x$$; RETURN NULL; END": ["opaque function f with EXECUTE"],
    "nonsense": ["opaque function f"],
    "BEGIN NEW.a = now(); RETURN NEW; END;": ["call now"],
    "BEGIN PERFORM g(); RETURN NEW; END": ["call g"],
    "DECLARE n integer; BEGIN IF TG_OP = 'DELETE' THEN DELETE FROM users WHERE a = OLD.a; END IF; RETURN NULL; END": [
        "delete users in part"
    ],
    "x" * (MOST_CHARACTERS + 1): ["opaque function f"],
}


@pytest.mark.parametrize("body", TRIGGERS, ids=lambda body: body[:60])
def test_a_trigger_function_has_its_effects(body: str) -> None:
    assert short(effects_of_trigger(body, "f")) == TRIGGERS[body]


# --- what is known of a statement without reading it through ------------------------------------------------------

READS = [
    "SELECT 'DELETE', \"update\" FROM insert_into",
    "-- why\nSELECT 1",
    "WITH a AS (SELECT 1) SELECT * FROM a",
    "SHOW server_version",
    "EXPLAIN SELECT 1",
    "SAVEPOINT s",
    "ROLLBACK TO SAVEPOINT s",
    "PRAGMA user_version",
]
DOES_MORE = [
    "",
    "nonsense",
    "SELECT 1; SELECT 2",
    "SELECT * INTO kept FROM users",
    "WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone",
    "EXPLAIN ANALYZE SELECT f()",
    "REPLACE INTO users VALUES (1)",
]


@pytest.mark.parametrize("statement", [*READS, *DOES_MORE])
def test_a_statement_reads_only_by_its_first_words(statement: str) -> None:
    assert Statement("postgresql", statement, None).reads is (statement in READS)


# --- whatever is written -----------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=3))
def test_a_name_in_one_word_says_its_parts(parts: list[str]) -> None:
    assert parts_of(qualified(*parts)) == parts


# --- types -------------------------------------------------------------------------------------------------------

WIDENS = [
    ("integer", "INTEGER"),
    ("integer", "BIGINT"),
    ("smallint", "int"),
    ("bigint", "numeric"),
    ("character varying(50)", "VARCHAR(50)"),
    ("character varying(50)", "VARCHAR(51)"),
    ("character varying(50)", "TEXT"),
    ("text", "character varying"),
    ("numeric(10,2)", "NUMERIC(12, 2)"),
    ("numeric(10,2)", "numeric"),
    ("real", "DOUBLE PRECISION"),
    ("timestamp without time zone", "TIMESTAMP WITHOUT TIME ZONE"),
    ("timestamp(3) with time zone", "TIMESTAMP WITH TIME ZONE"),
    ("timestamp with time zone", "timestamp(6) with time zone"),
    ("cidr", "inet"),
    ("uuid", "UUID"),
]
NARROWS = [
    ("bigint", "INTEGER"),
    ("integer", "real"),
    ("integer", "numeric(4, 0)"),
    ("integer", "TEXT"),
    ("character varying(50)", "VARCHAR(49)"),
    ("text", "VARCHAR(50)"),
    ("character varying", "VARCHAR(50)"),
    ("text", "character(50)"),
    ("numeric(10,2)", "numeric(10,1)"),
    ("numeric(10,2)", "numeric(10,3)"),
    ("numeric", "numeric(10,2)"),
    ("double precision", "real"),
    ("timestamp with time zone", "TIMESTAMP WITHOUT TIME ZONE"),
    ("timestamp without time zone", "timestamp(3) without time zone"),
    ("inet", "cidr"),
    ("json", "jsonb"),
    ("integer[]", "integer"),
    ('"Mood"', '"Mood" ('),
    ("nonsense (", "nonsense ("),
]


@pytest.mark.parametrize(("now", "to"), [*WIDENS, *NARROWS])
def test_a_type_widens_only_where_every_value_is_kept(now: str, to: str) -> None:
    assert widens(now, to) is ((now, to) in WIDENS)
