"""Statements that `schema lint` finds, or doesn't, by the rows of the operations that other linters know."""

import pytest

from app.migrations.rules.releases import RELEASES
from tests.support.alembic_in_process import History
from tests.unit.test_lint import TABLES, block, looked_at

AUTOCOMMIT = "op.get_context().autocommit_block()"


def sql(*statements: str, outside: bool = False) -> str:
    calls = "\n".join(f'op.execute("""{statement}""")' for statement in statements)
    return block(calls.replace("\n", "\n    "), AUTOCOMMIT) if outside else calls


NOT_VALID = "ALTER TABLE users ADD CONSTRAINT c CHECK (age IS NOT NULL AND age > 0) NOT VALID"
VALIDATE = "ALTER TABLE users VALIDATE CONSTRAINT c"
UNSAFE = {
    "a unique index": (sql("CREATE UNIQUE INDEX i ON users (age)"), {"index"}),
    "an index on an expression": (sql("CREATE INDEX i ON users (lower(name))"), {"index"}),
    "an index of a new column": ('op.add_column("users", sa.Column("x", sa.Text, index=True))', {"index"}),
    "a unique new column": ('op.add_column("users", sa.Column("x", sa.Text, unique=True))', {"unique"}),
    "a new column that refers": (
        'op.add_column("users", sa.Column("x", sa.BigInteger, sa.ForeignKey("parents.id")))',
        {"foreign-key", "unindexed-foreign-key"},
    ),
    "REINDEX": (sql("REINDEX TABLE users"), {"rewrite"}),
    "a key of nullable columns": (
        sql("ALTER TABLE users ADD CONSTRAINT k PRIMARY KEY USING INDEX users_nick_idx"),
        {"primary-key"},
    ),
    "a validated NOT NULL constraint": (sql("ALTER TABLE users ADD CONSTRAINT n NOT NULL age"), {"not-null"}),
    "SET NOT NULL in the statement that drops its proof": (
        sql(NOT_VALID)
        + "\n"
        + block(sql(VALIDATE))
        + "\n"
        + sql("ALTER TABLE users ALTER age SET NOT NULL, DROP CONSTRAINT c"),
        {"not-null", "not-repeatable"},
    ),
    "SET NOT NULL with an unproved CHECK": (sql(NOT_VALID, "ALTER TABLE users ALTER age SET NOT NULL"), {"not-null"}),
    "VALIDATE under another lock": (
        sql("ALTER TABLE users ADD COLUMN x int", "ALTER TABLE users VALIDATE CONSTRAINT users_code_check"),
        {"validate-in-transaction"},
    ),
    "a new column with a CHECK": (sql("ALTER TABLE users ADD COLUMN x int CHECK (x > 0)"), {"column-with-constraint"}),
    "a new column with a default that refers": (
        sql("ALTER TABLE users ADD COLUMN x bigint DEFAULT 1 REFERENCES parents (id)"),
        {"column-with-constraint"},
    ),
    "clock_timestamp": (
        sql("ALTER TABLE users ADD COLUMN x timestamptz DEFAULT clock_timestamp()"),
        {"volatile-default"},
    ),
    "a serial column": (sql("ALTER TABLE users ADD COLUMN x bigserial"), {"counting-column"}),
    "a domain of the same run": (
        sql("CREATE DOMAIN d AS text CHECK (VALUE <> '')", "ALTER TABLE users ADD COLUMN x d"),
        {"constrained-domain"},
    ),
    "a shorter text": (sql("ALTER TABLE users ALTER name TYPE varchar(5)"), {"rewrite-type"}),
    "a time with a zone": (
        sql("ALTER TABLE users ALTER age TYPE timestamptz USING to_timestamp(age)"),
        {"rewrite-type"},
    ),
    "a type with a value of its own": (
        sql("ALTER TABLE users ALTER name TYPE text USING upper(name)"),
        {"rewrite-type"},
    ),
    "SET LOGGED": (sql("ALTER TABLE users SET UNLOGGED"), {"rewrite"}),
    "SET ACCESS METHOD": (sql("ALTER TABLE users SET ACCESS METHOD other"), {"rewrite"}),
    "SET EXPRESSION": (sql("ALTER TABLE users ALTER age SET EXPRESSION AS (id * 2)"), {"rewrite"}),
    "an UPDATE without WHERE": (sql("UPDATE users SET age = 1"), {"long-backfill"}),
    "an UPDATE of those that aren't NULL": (sql("UPDATE users SET age = 1 WHERE name IS NOT NULL"), {"long-backfill"}),
    "an UPDATE by another table": (
        sql("UPDATE users SET age = p.a FROM parents p WHERE p.id = users.parent"),
        {"long-backfill"},
    ),
    "a DELETE without WHERE": (sql("DELETE FROM users"), {"long-backfill"}),
    "rows in a locked table": (
        sql("LOCK TABLE users", "UPDATE users SET age = 1 WHERE id = 1"),
        {"rows-in-transaction"},
    ),
    "a DELETE in WITH": (sql("WITH gone AS (DELETE FROM users RETURNING id) SELECT 1"), {"long-backfill"}),
    "an index in a DO block": (sql("DO $$ BEGIN CREATE INDEX i ON users (age); END $$"), {"index"}),
    "EXECUTE": (sql("DO $$ BEGIN EXECUTE 'CREATE INDEX i ON users (age)'; END $$"), {"unreadable"}),
    "another language": (sql("DO LANGUAGE plpython3u $$ x $$"), {"unreadable"}),
    "CALL": (sql("CALL rebuild()"), {"unreadable"}),
    "a function of the schema": (sql("SELECT rebuild()"), {"unreadable"}),
    "a function of an extension": (sql("SELECT partman.run_maintenance()"), {"unreadable"}),
    "a connection of its own": ('sa.create_engine("sqlite://").connect()', {"unreadable"}),
    "an error": ("1 / 0", {"unreadable"}),
    "no limit of a statement": (sql("SET LOCAL statement_timeout TO DEFAULT"), {"missing-lock-timeout"}),
    "no limit by a function": (sql("SELECT set_config('lock_timeout', '0', true)"), {"missing-lock-timeout"}),
    "RESET": (sql("RESET lock_timeout"), {"missing-lock-timeout"}),
    "a transaction that is left": (
        sql("ALTER TABLE users ADD COLUMN x int") + "\n" + block('op.create_index("i", "users", ["age"])'),
        {"not-repeatable"},
    ),
    "an index without IF NOT EXISTS": (
        sql("CREATE INDEX CONCURRENTLY i ON users (age)", outside=True),
        {"not-repeatable"},
    ),
    "an enumeration outside": (sql("ALTER TYPE mood ADD VALUE 'x'", outside=True), {"not-repeatable"}),
    "a copy under LOCK TABLE": (
        sql("LOCK TABLE users IN SHARE MODE", "INSERT INTO logs_1 (id) SELECT id FROM users"),
        {"read-under-lock"},
    ),
    "a PERFORM in a DO block": (sql("DO $$ BEGIN PERFORM mend_users(); END $$"), {"unreadable"}),
    "a trigger of another locked table": (
        sql("ALTER TABLE users ADD COLUMN x int", "DROP TRIGGER t ON parents"),
        {"second-lock"},
    ),
    "COPY": (sql("COPY users FROM STDIN"), {"column-order"}),
    "a view of all columns": (sql("CREATE VIEW v AS SELECT * FROM users"), {"column-order"}),
    "a copy of all columns": (
        sql("CREATE TABLE n (LIKE users)", "INSERT INTO n (id, name) SELECT * FROM users"),
        {"column-order"},
    ),
    "three tables": (
        sql(
            "ALTER TABLE users ADD COLUMN x int", "ALTER TABLE parents ADD COLUMN x int", "ALTER TABLE logs_1 ADD x int"
        ),
        {"second-lock"},
    ),
}
SAFE = {
    "an index of the parent alone": sql("CREATE INDEX i ON ONLY logs (at)"),
    "a partial index beside a whole one": block(
        'op.create_index("i", "users", ["name"], postgresql_where=sa.text("age > 1"))'
    ),
    "an index that replaces another": block(
        'op.drop_index("users_nick_idx", "users")\n    op.create_index("i", "users", ["nick"])'
    ),
    "a key of columns that are NOT NULL": sql("ALTER TABLE users ADD CONSTRAINT k PRIMARY KEY USING INDEX users_pkey"),
    "a NOT NULL constraint that isn't valid yet": sql("ALTER TABLE users ADD CONSTRAINT n NOT NULL age NOT VALID"),
    "NOT NULL of what is NOT NULL": sql("ALTER TABLE users ALTER id SET NOT NULL"),
    "now()": sql("ALTER TABLE users ADD COLUMN x timestamptz DEFAULT now() NOT NULL"),
    "a constant": sql("ALTER TABLE users ADD COLUMN x int DEFAULT 0 NOT NULL"),
    "a virtual column": sql("ALTER TABLE users ADD COLUMN x int GENERATED ALWAYS AS (id * 2) VIRTUAL"),
    "a longer text": sql("ALTER TABLE users ALTER name TYPE varchar(50)"),
    "a longer text in a CHECK that isn't valid": sql(
        "ALTER TABLE users ADD CONSTRAINT c CHECK (name <> '') NOT VALID", "ALTER TABLE users ALTER name TYPE text"
    ),
    "the same text with a cast": sql("ALTER TABLE users ALTER name TYPE text USING name::text"),
    "DROP NOT NULL": sql("ALTER TABLE users ALTER id DROP NOT NULL"),
    "a default": sql("ALTER TABLE users ALTER age SET DEFAULT 3"),
    "a new table": sql("CREATE TABLE n (id int PRIMARY KEY, u bigint REFERENCES users (id), CHECK (id > 0))"),
    "rows of a new table": sql("CREATE TABLE n (id int)", "INSERT INTO n VALUES (1)", "UPDATE n SET id = 2"),
    "an UPDATE of one row": sql("UPDATE users SET age = 1 WHERE id = 1"),
    "an UPDATE of some rows": sql("UPDATE users SET age = 1 WHERE name = 'x' AND age IS NULL"),
    "an UPDATE of chosen rows": sql("UPDATE users SET age = 1 WHERE id IN (SELECT id FROM parents WHERE a = 1)"),
    "rows that are named": sql("INSERT INTO parents (id, a) VALUES (1, 2)"),
    "default values": sql("INSERT INTO parents DEFAULT VALUES"),
    "a bulk insert": 'op.bulk_insert(sa.table("parents", sa.column("a", sa.Integer)), [{"a": 2}])',
    "a sequence": sql("SELECT setval('users_id_seq', 10)"),
    "a view in a table's place": sql("ALTER TABLE users RENAME TO people", "CREATE VIEW users AS SELECT * FROM people"),
    "a limit": sql("SET LOCAL lock_timeout = '2s'", "SET LOCAL statement_timeout = 5000"),
    "another setting": sql("SET LOCAL work_mem = '64MB'"),
    "a comment": sql("COMMENT ON TABLE users IS 'x'", "COMMENT ON TABLE parents IS 'x'"),
    "a grant": sql("GRANT SELECT ON users TO PUBLIC"),
    "a trigger": sql("CREATE TRIGGER t BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION f()"),
    "a function": sql("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$"),
    "an enumeration": sql("CREATE TYPE m AS ENUM ('a')", "ALTER TYPE m ADD VALUE 'b'", "SELECT 'b'"),
    "an enumeration outside": sql("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'x'", outside=True),
    "maintenance": sql("VACUUM users", "ANALYZE users", "REINDEX INDEX CONCURRENTLY users_nick_idx", outside=True),
    "a block twice": block('op.create_index("i", "users", ["age"])\n    op.drop_index("users_nick_idx", "users")'),
    "a new column that refers": sql("ALTER TABLE users ADD COLUMN x bigint REFERENCES parents (id)"),
    "a foreign key and its index": block(
        'op.create_foreign_key("f", "users", "parents", ["parent"], ["id"])\n    '
        'op.create_index("i", "users", ["parent"])'
    ),
    "a copy of some rows under a lock": sql(
        "ALTER TABLE users ADD COLUMN x int", "INSERT INTO logs_1 (id) SELECT id FROM users WHERE id = 1"
    ),
    "a new table without its rows": sql(
        "ALTER TABLE users ADD COLUMN x int", "CREATE TABLE n AS SELECT id FROM users WITH NO DATA"
    ),
    "a function of PostgreSQL in a query inside": sql(
        "DO $$ BEGIN IF EXISTS (SELECT FROM users WHERE name <> reverse(name)) THEN RAISE 'x'; END IF; END $$"
    ),
    "a function of PostgreSQL in an expression": sql(
        "DO $$ DECLARE x text; BEGIN IF to_regclass('users') IS NULL THEN x := reverse('x'); END IF; END $$"
    ),
    "everything in the block": block(
        'op.create_unique_constraint("u", "users", ["parent"])\n    '
        'op.create_check_constraint("c", "users", "age > 0")\n    '
        'op.alter_column("users", "age", existing_type=sa.Integer, nullable=False)\n    '
        'op.fill_column("users", "nick", "name")\n    op.drop_constraint("c", "users")'
    ),
}


def rules(history: History, *bodies: str) -> set[str]:
    found = looked_at(history, TABLES, *bodies).findings
    return {finding.stall.rule for finding in found} - RELEASES.keys()  # which have tests of their own


@pytest.mark.parametrize("case", UNSAFE)
def test_the_unsafe_is_found(case: str, history: History) -> None:
    body, expected = UNSAFE[case]
    assert rules(history, body) == expected


@pytest.mark.parametrize("case", SAFE)
def test_the_safe_is_not(case: str, history: History) -> None:
    assert rules(history, SAFE[case]) == set()


def test_a_proof_holds_in_later_revisions(history: History) -> None:
    steps = [
        sql(NOT_VALID),
        sql(VALIDATE),
        sql("ALTER TABLE users ALTER age SET NOT NULL"),
        sql("ALTER TABLE users DROP CONSTRAINT c"),
    ]
    assert rules(history, *steps) == set()


def test_a_module_vouches_for_itself(history: History) -> None:
    found = looked_at(
        history, TABLES, sql("ALTER TYPE mood ADD VALUE 'x'", outside=True), extra="\nrepeatable = True\n"
    )
    assert found.findings == []


def test_a_revision_without_a_lock_timeout_is_found(history: History) -> None:
    found = looked_at(history, TABLES, "pass", extra="\ntimeouts = {'lock': 0}\n")
    assert [finding.stall.name for finding in found.findings] == ["missing-lock-timeout lock_timeout"]
