"""SQLite's statements: SQLite's authorizer names every table that one would write to, triggers included.

Regular expressions read what the authorizer doesn't say: the form of an ALTER TABLE, the columns of an index, and a
statement that doesn't compile yet.
"""

import re
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from app.migrations.sql import effects, lexer
from app.migrations.sql.effects import Effect, Opaque
from app.sql_text import NAME, bare, parts_of, qualified, unquoted

_TABLE = rf"(?:{NAME}\s*\.\s*)?{NAME}"
_ALTER = re.compile(
    rf"ALTER\s+TABLE\s+{_TABLE}\s+(RENAME\s+TO\b|RENAME(?:\s+COLUMN\b)?|ADD(?:\s+COLUMN\b)?|DROP(?:\s+COLUMN\b)?)"
    rf"\s*{NAME}(?:\s+TO\s+{NAME})?(.*)",
    re.IGNORECASE | re.DOTALL,
)
_UNIQUE = re.compile(
    rf"CREATE\s+UNIQUE\s+INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:{NAME}\s*\.\s*)?{NAME}\s+ON\s+{NAME}\s*\(([^()]*)\)"
    r"\s*;?\s*$",
    re.IGNORECASE,
)
_TARGET = re.compile(
    r"\b(DROP\s+TABLE(?:\s+IF\s+EXISTS)?|DELETE\s+FROM|UPDATE(?:\s+OR\s+\w+)?|(?:INSERT|REPLACE)(?:\s+OR\s+\w+)?\s+INTO)"
    rf"\s+{_TABLE}(?!\w|\s*\.)",
    re.IGNORECASE,
)
_WRITES = re.compile(r"(?:WITH\b.*?\b)?(DELETE|UPDATE|INSERT|REPLACE)\b", re.IGNORECASE | re.DOTALL)
_DEFINES = re.compile(r"(?:CREATE|DROP|ALTER)\b", re.IGNORECASE)
_DROPS_ROWS = re.compile(r"(?:DROP|ALTER)\s+(?!INDEX\b|TRIGGER\b|VIEW\b)", re.IGNORECASE)
_SET = re.compile(r"\bSET\b(.*?)(?:\bWHERE\b|\bFROM\b|\bRETURNING\b|$)", re.IGNORECASE | re.DOTALL)
_NOT_YET = "SQL that SQLite can't compile yet"


class _Action(NamedTuple):
    """A thing that SQLite asks its authorizer to allow."""

    kind: int
    table: str
    column: str
    by_trigger: bool


def effects_of(statement: str, driver: sqlite3.Connection) -> list[Effect]:
    """Returns the effects of a statement.

    Args:
        statement: with `?` or `:name` for values.
        driver: a connection to the database, to ask; nothing is executed on it.
    """
    statement = lexer.without_comments(statement)
    if match := _ALTER.match(statement):
        return [_altered(match)]
    if match := _UNIQUE.match(statement):
        return [_unique_index(match)]
    if re.match(r"PRAGMA\s+(\w+\s*\.\s*)?writable_schema", statement, re.IGNORECASE):
        return [Opaque("PRAGMA writable_schema")]
    if re.match(r"ATTACH\b", statement, re.IGNORECASE):  # another database's tables can have the names of ours
        return [Opaque("ATTACH")]
    writes = _WRITES.match(statement) is not None
    if not writes and not _DEFINES.match(statement):
        return []
    actions = _authorized(statement, driver)
    if actions is None:
        return list(_uncompiled(statement))
    return list(_written(statement, actions) if writes else _defined(actions))


def _authorized(statement: str, driver: sqlite3.Connection) -> list[_Action] | None:
    """Returns what SQLite would do with a statement; None if it doesn't compile."""
    actions = []

    def note(kind: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
        if kind == sqlite3.SQLITE_ALTER_TABLE:
            first, second, database = second, None, first
        actions.append(_Action(kind, qualified(database or "", first or ""), second or "", trigger is not None))
        return sqlite3.SQLITE_OK

    # Compiling needs a value for each parameter; EXPLAIN carries nothing out.
    plain = lexer.unquoted(statement)
    values = dict.fromkeys(re.findall(r":(\w+)", plain)) or [None] * plain.count("?")
    driver.set_authorizer(note)
    try:
        driver.execute(f"EXPLAIN {statement}", values).fetchall()
    except (sqlite3.Error, sqlite3.Warning, ValueError):  # a Warning: a second statement; a ValueError: half a letter
        return None
    finally:
        driver.set_authorizer(None)
    return actions


def _written(statement: str, actions: list[_Action]) -> Iterator[Effect]:
    whole = not lexer.chooses(statement)
    target = _TARGET.search(lexer.outer(statement))
    own = unquoted(target[3]).lower() if target else ""
    for table in sorted({action.table for action in actions if action.kind == sqlite3.SQLITE_DELETE}):
        yield effects.Delete(table, whole=whole or bare(table).lower() != own)
    updates = [action for action in actions if action.kind == sqlite3.SQLITE_UPDATE]
    for table in sorted({action.table for action in updates}):
        of_table = [action for action in updates if action.table == table]
        # A trigger that keeps `updated_at` of the rows that are updated says nothing more about them.
        named = [action for action in of_table if not action.by_trigger] or of_table
        yield effects.Update(table, tuple(sorted({action.column for action in named})), whole=whole)
    yield from map(effects.Fill, sorted({action.table for action in actions if action.kind == sqlite3.SQLITE_INSERT}))


def _defined(actions: list[_Action]) -> Iterator[Effect]:
    selects = any(action.kind == sqlite3.SQLITE_SELECT for action in actions)
    for kind, table, _, _ in actions:
        if kind in (sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_TEMP_TABLE):
            temporary = parts_of(table)[0] == "temp"
            yield effects.CreateTable(bare(table) if temporary else table, temporary=temporary)
            if selects:
                yield effects.Fill(bare(table) if temporary else table)
        elif kind in (sqlite3.SQLITE_DROP_TABLE, sqlite3.SQLITE_DROP_TEMP_TABLE):
            yield effects.DropTable(table)
        elif kind == sqlite3.SQLITE_ALTER_TABLE:  # in a spelling that _ALTER doesn't know
            yield Opaque(f"ALTER TABLE {table.removeprefix('main.')}")


def _uncompiled(statement: str) -> Iterator[Effect]:
    """Reads a statement that names what isn't there yet, or that fails when it runs."""
    outer = lexer.outer(statement)
    target = (_TARGET.search if _WRITES.match(statement) else _TARGET.match)(outer)
    table = _table(target[2], target[3]) if target else ""
    match target[1].split(None, 1)[0].upper() if target else "":
        case "DROP":
            yield effects.DropTable(table)
        case "DELETE":
            yield effects.Delete(table, whole=not lexer.chooses(statement))
        case "UPDATE" if columns := _assigned(outer):
            yield effects.Update(table, columns, whole=not lexer.chooses(statement))
        case "INSERT" | "REPLACE":
            yield effects.Fill(table)
        case _ if _WRITES.match(statement) or _DROPS_ROWS.match(statement):
            yield Opaque(_NOT_YET)


def _altered(match: re.Match[str]) -> Effect:
    table, name = _table(match[1], match[2]), unquoted(match[4])
    match match[3].upper().split():
        case ["RENAME", "TO"]:
            return effects.RenameTable(table, to=(name,))
        case ["RENAME", *_]:
            return effects.RenameColumn(table, (name,), to=unquoted(match[5] or match[4]))
        case ["ADD", *_]:
            definition = " ".join(lexer.unquoted(match[6]).upper().split())
            filled = re.search(r"\b(DEFAULT|AS)\b", definition)
            return effects.AddColumn(table, (name,), required="NOT NULL" in definition and not filled)
    return effects.DropColumn(table, (name,))


def _unique_index(match: re.Match[str]) -> Effect:
    named = [re.fullmatch(rf"\s*{NAME}\s*", column) for column in match[4].split(",")]
    columns = tuple(unquoted(column[1]) for column in named if column)
    whole = len(columns) == len(named)
    return effects.AddUnique(_table(match[1], match[3]), columns if whole else (), whole=whole)


def _table(schema: str | None, name: str) -> str:
    return qualified(unquoted(schema).lower() if schema else "", unquoted(name))


def _assigned(outer: str) -> tuple[str, ...]:
    """Returns the columns that an UPDATE sets."""
    match = _SET.search(outer)
    return tuple(unquoted(name) for name in re.findall(rf"(?:^|,)\s*{NAME}\s*=", match[1])) if match else ()
