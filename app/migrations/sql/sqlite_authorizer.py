"""What SQLite would do with a statement: an authorizer hears every table that it would write to, triggers included."""

import re
import sqlite3
from dataclasses import dataclass, field

from app.migrations.sql.effects import HOME, qualified
from app.migrations.sql.lexer import unquoted


@dataclass
class Told:
    """The tables that a statement would write to."""

    deletes: set[str] = field(default_factory=set)
    updates: dict[str, set[str]] = field(default_factory=dict)
    inserts: set[str] = field(default_factory=set)
    drops: set[str] = field(default_factory=set)
    alters: set[str] = field(default_factory=set)


def told(statement: str, driver: sqlite3.Connection | None) -> Told | None:
    """What SQLite's authorizer is told about a statement; None if it doesn't compile, or nobody can be asked."""
    if driver is None:
        return None
    found = Told()
    by_trigger: dict[str, set[str]] = {}

    def note(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
        table = qualified(database or "", first or "")
        if action == sqlite3.SQLITE_DELETE:
            found.deletes.add(table)
        elif action == sqlite3.SQLITE_UPDATE:
            (by_trigger if trigger else found.updates).setdefault(table, set()).add(second or "")
        elif action == sqlite3.SQLITE_INSERT:
            found.inserts.add(table)
        elif action == sqlite3.SQLITE_DROP_TABLE:
            found.drops.add(table)
        elif action == sqlite3.SQLITE_ALTER_TABLE:
            found.alters.add(qualified(first if first and first != HOME["sqlite"] else "", second or ""))
        return sqlite3.SQLITE_OK

    driver.set_authorizer(note)
    try:
        plain = unquoted(statement)
        marks = dict.fromkeys(re.findall(r":(\w+)", plain))
        driver.execute(f"EXPLAIN {statement}", marks or [None] * plain.count("?")).fetchall()
    except (
        sqlite3.Error,
        sqlite3.Warning,
        ValueError,
    ):  # a second statement is a Warning, half a character a ValueError
        return None
    finally:
        driver.set_authorizer(None)
    # A trigger that keeps `updated_at` of the rows that are updated says nothing more about them.
    found.updates = {**by_trigger, **found.updates}
    return found
