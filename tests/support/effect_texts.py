"""Writes the effects of a statement as texts."""

import sqlite3
from collections.abc import Iterator

import pytest

from app.migrations.sql import Statement, effects


def short(found: list[effects.Effect]) -> list[str]:
    """Each effect as `kind table.columns`, with what else it says."""
    return [" ".join([effect.name(), *more(effect)]) for effect in found]


def more(effect: effects.Effect) -> Iterator[str]:
    match effect:
        case effects.RenameTable(to=names) | effects.CreateEnum(labels=names):
            yield f"to {', '.join(names)}"
        case effects.RenameColumn(to=name):
            yield f"to {name}"
        case effects.AlterType(to=name, using=using):
            yield f"to {name}"
            yield from [f"using {using}"] if using else []
        case effects.AddColumn(required=True):
            yield "to required"
        case effects.CreateTable(temporary=True, until_commit=until_commit):
            yield "to fleeting" if until_commit else "to temporary"
        case effects.ChangeRows(only=True):
            yield "to only"
    if not getattr(effect, "whole", True):
        yield "in part"


def effects_of(dialect: str, statement: str, driver: sqlite3.Connection | None = None) -> list[effects.Effect]:
    return Statement(dialect, statement, driver).effects


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
