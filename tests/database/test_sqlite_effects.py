"""Effects of statements as SQLite itself tells them."""

import re
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.migrations.sql import Hurry, Statement
from app.migrations.sql.statement import MOST_CHARACTERS
from tests.support.effect_texts import effects_of, short

SQLITE: dict[str, list[str]] = {
    "": [],
    ";": [],
    "-- DROP TABLE users": [],
    "SELECT 'DROP TABLE users'": [],
    "DROP TABLE users": ["drop_table users"],
    "drop\ttable\nif exists main . users;": ["drop_table users"],
    'DROP TABLE "main"."users"': ["drop_table users"],
    "DROP TABLE [main].[users]": ["drop_table users"],
    "DROP TABLE 'users'": ["drop_table users"],
    'DROP TABLE "a.b"': ['drop_table "a.b"'],
    "/* a */ DROP -- b\n TABLE/**/users": ["drop_table users"],
    ";; DROP TABLE users": ["drop_table users"],
    "DROP TABLE nowhere": ["drop_table nowhere"],
    "DROP INDEX i": [],
    "DROP VIEW seen": [],
    "DROP TRIGGER touch": [],
    "ALTER TABLE users DROP legacy": ["drop_column users.legacy"],
    "ALTER TABLE main.users DROP COLUMN [legacy]": ["drop_column users.legacy"],
    'ALTER TABLE"users"DROP COLUMN"legacy"': ["opaque ALTER TABLE users"],
    'ALTER TABLE "a.b" DROP COLUMN "a""b"': ['drop_column "a.b".a"b'],
    "ALTER TABLE 'users' DROP COLUMN legacy": ["opaque ALTER TABLE users"],
    "ALTER TABLE users DROP columnist": ["drop_column users.columnist"],
    "ALTER TABLE users RENAME TO people": ["rename_table users to people"],
    "ALTER TABLE users RENAME legacy TO old": ["rename_column users.legacy to old"],
    "ALTER TABLE users RENAME COLUMN legacy TO `to`": ["rename_column users.legacy to to"],
    "ALTER TABLE users ADD COLUMN c TEXT NOT NULL DEFAULT ''": ["add_column users.c"],
    "CREATE TABLE IF NOT EXISTS people (id INTEGER)": ["create_table people"],
    "CREATE TEMP TABLE people (id INTEGER)": ["create_table people to temporary"],
    "CREATE TABLE temp.people AS SELECT 1": ["create_table people to temporary", "fill people"],
    "CREATE TABLE kept AS SELECT * FROM users": ["create_table kept", "fill kept"],
    "CREATE UNIQUE INDEX i ON users (id, [legacy])": ["add_unique users.id,legacy"],
    "CREATE UNIQUE INDEX i ON users (legacy COLLATE NOCASE)": ["add_unique users in part"],
    "CREATE INDEX i ON users (legacy)": [],
    "DELETE FROM users": ["delete users"],
    "DELETE FROM users WHERE id = ?": ["delete users in part"],
    "DELETE FROM users WHERE (id = 1)": ["delete users in part"],
    'DELETE FROM users WHERE "id"': ["delete users in part"],
    "DELETE FROM users WHERE 1": ["delete users"],
    "DELETE FROM users WHERE ('a' IS NOT NULL) AND :b RETURNING id": ["delete users"],
    "UPDATE users SET legacy = 1 WHERE TRUE": ["update users.legacy"],
    "ATTACH 'other.db' AS other": ["opaque ATTACH"],
    "DELETE FROM users RETURNING (SELECT 1 WHERE 1)": ["delete users"],
    'DELETE FROM "a.b" WHERE "a.b" = \':where ?\'': ['delete "a.b" in part', "delete log"],
    "WITH a AS (SELECT 1 WHERE 1) DELETE FROM users": ["delete users"],
    "WITH a AS (SELECT 1) DELETE FROM users WHERE id IN a": ["delete users in part"],
    "UPDATE users SET legacy = :legacy": ["update users.legacy"],
    "UPDATE users SET legacy = (SELECT line FROM log WHERE log.id = users.id)": ["update users.legacy"],
    "UPDATE users SET legacy = 'WHERE' -- WHERE": ["update users.legacy"],
    'UPDATE users SET legacy = "where"': ["update users.legacy"],
    "UPDATE OR REPLACE main.users SET legacy = 1, id = 2 WHERE id = 1": ["update users.id,legacy in part"],
    "UPDATE nowhere SET a = 1, [b c] = (SELECT 1) WHERE id = 1": ["update nowhere.a,b c in part"],
    "UPDATE nowhere SET (a, b) = (1, 2)": ["opaque SQL that SQLite can't compile yet"],
    "INSERT INTO users (id) VALUES (?), (?)": ["fill users"],
    "REPLACE INTO users (id) VALUES (:id)": ["fill users"],
    "INSERT INTO log SELECT id, legacy FROM users WHERE id = 1": ["fill log"],
    "DELETE users": ["opaque SQL that SQLite can't compile yet"],
    "DROP TABEL users": ["opaque SQL that SQLite can't compile yet"],
    "DELETE FROM log; DELETE FROM users": ["delete log"],
    "DROP TABEL users; DELETE FROM users": ["opaque SQL that SQLite can't compile yet"],
    "PRAGMA writable_schema = ON": ["opaque PRAGMA writable_schema"],
    "PRAGMA main.writable_schema(1)": ["opaque PRAGMA writable_schema"],
    "PRAGMA foreign_keys = ON": [],
    f"SELECT '{'x' * MOST_CHARACTERS}'": ["opaque SQL of more than 100,000 characters"],
}


TABLES = """
CREATE TABLE users (id INTEGER PRIMARY KEY, legacy TEXT, updated_at TEXT);
CREATE TABLE log (id INTEGER REFERENCES users ON DELETE CASCADE, line TEXT);
CREATE TABLE "a.b" ("a.b" TEXT, "a""b" TEXT);
CREATE VIEW seen AS SELECT * FROM users;
CREATE TRIGGER touch AFTER UPDATE ON users BEGIN UPDATE users SET updated_at = 1 WHERE id = new.id; END;
CREATE TRIGGER forget AFTER DELETE ON "a.b" BEGIN DELETE FROM log WHERE line = old."a.b"; END;
INSERT INTO users VALUES (1, 'x', NULL);
INSERT INTO log VALUES (1, 'x');
INSERT INTO "a.b" VALUES ('x', 'y');
"""


@pytest.fixture(scope="module")
def driver() -> Iterator[sqlite3.Connection]:
    """A connection to a database with some tables, and a row in each."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(TABLES)
    yield connection
    connection.close()


def dump(driver: sqlite3.Connection) -> list[str]:
    return list(driver.iterdump())


@pytest.mark.parametrize("statement", SQLITE, ids=lambda statement: statement[:60])
def test_a_statement_has_its_effects_on_sqlite(statement: str, driver: sqlite3.Connection) -> None:
    before = dump(driver)
    assert short(effects_of("sqlite", statement, driver)) == SQLITE[statement]
    assert dump(driver) == before


WORDS = re.findall(
    r"\S+",
    "SELECT DROP TABLE ALTER users COLUMN DELETE FROM WHERE UPDATE SET WITH AS INSERT INTO VALUES PRAGMA CREATE "
    "UNIQUE INDEX ON EXECUTE LANGUAGE DO BEGIN END NULL 1 = ( ) ; , ' \" ` [ ] -- /* */ $$ % %(a)s :a ? main. "
    "public. \x00 \ud800",
)
texts = st.one_of(
    st.text(), st.lists(st.sampled_from(WORDS)).map(" ".join), st.lists(st.sampled_from(WORDS)).map("".join)
)


@pytest.mark.exhaustive
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("DELETE FROM users WHERE :1a = ?")
@example("WITH" * 5000)
@example("(" * 20_000)
@given(texts)
def test_any_text_is_parsed_without_an_error_or_a_change(driver: sqlite3.Connection, statement: str) -> None:
    before = dump(driver)
    for effect in [*effects_of("postgresql", statement), *effects_of("sqlite", statement, driver)]:
        assert effect.name()
    known = Statement("postgresql", statement, None)
    assert {known.reads, known.repeatable, known.ends_savepoint} <= {True, False}
    assert known.hurry in Hurry
    assert dump(driver) == before
