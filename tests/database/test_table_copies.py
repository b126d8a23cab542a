"""The effects of SQLite's table copies: what a copy changes in its table, whoever wrote its statements."""

import sqlite3
from collections.abc import Iterator

import pytest

from app.migrations.data_loss.copy_effects import CopyEffects
from app.migrations.rules import rule_of
from app.migrations.sql import Statement

TABLES = """
CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, "B c" VARCHAR(5) NOT NULL UNIQUE);
CREATE UNIQUE INDEX one_a ON t (a);
CREATE TABLE "a.b" (a TEXT);
"""
SAME = 'id INTEGER NOT NULL, a TEXT, "B c" VARCHAR(5) NOT NULL UNIQUE, PRIMARY KEY (id)'
ALL = 'INSERT INTO _alembic_tmp_t (id, a, "B c") SELECT t.id, t.a, t."B c" FROM t'
# The columns of the copy, the statement that fills it, and the effects of both and of the drop.
COPIES: dict[str, tuple[str, str, list[str]]] = {
    "the same": (SAME, ALL, []),
    "a column less": (
        SAME.replace("a TEXT, ", ""),
        ALL.replace("a, ", "", 1).replace("t.a, ", ""),
        ["drop_column t.a"],
    ),
    "another type": (
        SAME.replace("a TEXT", "a INTEGER"),
        ALL.replace("t.a", "CAST(t.a AS INTEGER) AS a"),
        ["alter_type t.a"],
    ),
    "another name": (SAME.replace("a TEXT", "n TEXT"), ALL.replace("a, ", "n, ", 1), ["rename_column t.a"]),
    "another name and type": (
        SAME.replace("a TEXT", "n INTEGER"),
        ALL.replace("a, ", "n, ", 1).replace("t.a", "CAST(t.a AS INTEGER) AS anon_1"),
        ["rename_column t.a", "alter_type t.a"],
    ),
    "names swapped": (
        SAME,
        ALL.replace('t.a, t."B c"', 't."B c", t.a'),
        ["set_not_null t.a", "rename_column t.B c", "rename_column t.a", "alter_type t.a", "alter_type t.B c"],
    ),
    "required": (SAME.replace("a TEXT", "a TEXT NOT NULL"), ALL, ["set_not_null t.a"]),
    "unique together": (f'{SAME}, UNIQUE (a, "B c")', ALL, ["add_unique t.a,B c"]),
    "a new column": (f"n TEXT DEFAULT 'x' NOT NULL, {SAME}", ALL, ["add_column t.n"]),
    "a new column that nothing fills": (f"n TEXT NOT NULL, {SAME}", ALL, ["add_column t.n (required)"]),
    "an expression": (SAME, ALL.replace("t.a", "coalesce(t.a, ',')"), []),
    "by position": (SAME, "INSERT INTO _alembic_tmp_t SELECT * FROM t", []),
    "by a query": (
        "b",
        "INSERT INTO _alembic_tmp_t SELECT DISTINCT a FROM t",
        ["add_column t.b", "drop_column t.id", "drop_column t.a", "drop_column t.B c"],
    ),
}


@pytest.fixture
def driver() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(TABLES)
    yield connection
    connection.close()


def effects_of(driver: sqlite3.Connection, *statements: str) -> list[str]:
    copies, names = CopyEffects(), []
    for statement in statements:
        names += [
            f"{effect.name()}{' (required)' if getattr(effect, 'required', False) else ''}"
            for effect in copies.effects_of(Statement("sqlite", statement, driver))
        ]
        driver.execute(statement)
    return names


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_does_what_it_changes(copy: str, driver: sqlite3.Connection) -> None:
    columns, insert, expected = COPIES[copy]
    create = f"CREATE TABLE _alembic_tmp_t ({columns})"
    rename = "ALTER TABLE _alembic_tmp_t RENAME TO t"
    names = effects_of(driver, create, insert, "DROP TABLE t", rename)
    assert sorted(names) == sorted(expected)


def test_a_new_column_that_is_filled_is_harmless(driver: sqlite3.Connection) -> None:
    columns, insert, _ = COPIES["a new column"]
    driver.execute(f"CREATE TABLE _alembic_tmp_t ({columns})")
    (added,) = CopyEffects().effects_of(Statement("sqlite", insert, driver))
    assert rule_of(added) is None


def test_a_copy_that_is_made_of_a_query_does_what_it_lacks(driver: sqlite3.Connection) -> None:
    create = "CREATE TABLE _alembic_tmp_t AS SELECT id, a FROM t"
    assert effects_of(driver, create, "DROP TABLE t") == ["alter_type t.id", "drop_column t.B c"]  # SQLite calls it INT


def test_a_copy_that_is_filled_twice_in_two_ways_keeps_what_has_its_name(driver: sqlite3.Connection) -> None:
    create = 'CREATE TABLE _alembic_tmp_t (id INTEGER, n TEXT, "B c" VARCHAR(5))'
    first = 'INSERT INTO _alembic_tmp_t (id, n, "B c") SELECT id, \'x\', "B c" FROM t'
    second = first.replace("'x'", "a") + " WHERE id < 0"
    assert effects_of(driver, create, first, second, "DROP TABLE t")[-1] == "drop_column t.a"


def test_a_name_with_a_dot_is_quoted(driver: sqlite3.Connection) -> None:
    create = 'CREATE TABLE "_alembic_tmp_a.b" (b TEXT)'
    assert effects_of(driver, create, 'DROP TABLE "a.b"') == ['drop_column "a.b".a']


def test_a_table_without_a_copy_is_dropped(driver: sqlite3.Connection) -> None:
    assert effects_of(driver, "DROP TABLE t") == ["drop_table t"]
