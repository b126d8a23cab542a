"""Views and triggers that name what isn't there: SQLite compiles each on a copy of the schema in memory."""

import re
import sqlite3
from collections.abc import Iterable

from app.migrations.sql import lexer
from app.sql_text import NAME, quoted, unquoted

_ORDER = ["table", "view", "trigger"]
_EVENT = re.compile(rf"\b(INSERT|DELETE|UPDATE)(?:\s+OF\s+({NAME}(?:\s*,\s*{NAME})*))?\s+ON\s", re.IGNORECASE)
# What a program may add to its own connections.
_ADDED = ("no such function", "no such collation", "no such module", "wrong number of arguments")


def broken_objects(schema: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """Returns each view and trigger that fails when it is used, as `view v`, and the reason.

    Args:
        schema: kind, name and statement of each object.
    """
    objects = sorted((row for row in schema if row[0] in _ORDER), key=lambda row: _ORDER.index(row[0]))
    if not objects or objects[-1][0] == "table":
        return {}
    scratch = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for kind, _, statement in objects:
            if kind != "trigger":
                _failure(scratch, _strict(statement) if kind == "view" else statement)
        present = {name for (name,) in scratch.execute("SELECT name FROM sqlite_master")}
        failures = {
            f"{kind} {name}": _failure_of_trigger(scratch, name, statement)
            if kind == "trigger"
            else _failure(scratch, f"EXPLAIN SELECT * FROM {quoted(name)}")
            for kind, name, statement in objects
            if kind != "table"
        }
    finally:
        scratch.close()
    # Virtual tables whose module a program adds to its own connections.
    unknown = {f"no such table: main.{name}" for kind, name, _ in objects if kind == "table" and name not in present}
    return {thing: why for thing, why in failures.items() if why and why not in unknown}


def _failure(scratch: sqlite3.Connection, statement: str) -> str:
    try:
        scratch.execute(statement)
    except sqlite3.Error as error:
        return "" if str(error).startswith(_ADDED) else str(error)
    return ""


def _failure_of_trigger(scratch: sqlite3.Connection, name: str, statement: str) -> str:
    """Compiles a statement that fires the trigger, while the table has no other one."""
    if failure := _failure(scratch, _strict(statement)):
        return failure
    ((table,),) = scratch.execute("SELECT tbl_name FROM sqlite_master WHERE type = 'trigger'")
    columns = scratch.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
    column = quoted(columns[0][0]) if columns else "rowid"
    event, of = _event(statement)
    changed = ", ".join(f"{name} = NULL" for name in map(quoted, of)) or f"{column} = NULL"
    fires = {
        "INSERT": f"INSERT INTO {quoted(table)} ({column}) VALUES (NULL)",
        "DELETE": f"DELETE FROM {quoted(table)}",
        "UPDATE": f"UPDATE {quoted(table)} SET {changed}",
    }
    failure = _failure(scratch, f"EXPLAIN {fires[event]}")
    scratch.execute(f"DROP TRIGGER {quoted(name)}")
    return failure


def _event(statement: str) -> tuple[str, list[str]]:
    match = _EVENT.search(lexer.without_comments(statement))
    if match is None:
        return "DELETE", []
    return match[1].upper(), [unquoted(name.strip()) for name in lexer.split(match[2] or "") if name.strip()]


def _strict(statement: str) -> str:
    """Puts names into brackets: SQLite takes a name in double quotes that isn't there for a text."""
    return "".join(
        f"[{name}]" if token[0] == '"' and "]" not in (name := token[1:-1].replace('""', '"')) else token
        for token in lexer.tokens(statement)
    )
