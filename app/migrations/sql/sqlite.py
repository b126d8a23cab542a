"""SQLite's statements: its ALTER TABLE has four forms, and of what else writes SQLite itself tells."""

import re
import sqlite3
from collections.abc import Iterator

from app.migrations.sql import lexer, sqlite_authorizer
from app.migrations.sql.effects import TEMPORARY, Effect, Kind, qualified

_NAME = r'(?:"((?:[^"]|"")+)"|`([^`]+)`|\[([^\]]+)\]|(\w+))'
_SCHEMA = r'(?:(?P<schema>main|"main"|`main`|\[main\]|temp|"temp"|`temp`|\[temp\])\s*\.\s*)?'
_ALTER = re.compile(
    rf"ALTER\s+TABLE\s+{_SCHEMA}{_NAME}\s+(RENAME\s+TO\b|RENAME(?:\s+COLUMN\b)?|ADD(?:\s+COLUMN\b)?|DROP(?:\s+COLUMN\b)?)"
    rf"\s*{_NAME}(.*)",
    re.IGNORECASE | re.DOTALL,
)
_DROP = re.compile(rf"DROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?{_SCHEMA}{_NAME}(?!\w|\s*\.)", re.IGNORECASE)
_CREATE = re.compile(
    rf"CREATE\s+(?P<temporary>TEMP\w*\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{_SCHEMA}{_NAME}\s*(AS\b)?", re.IGNORECASE
)
_UNIQUE = re.compile(
    rf"CREATE\s+UNIQUE\s+INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?{_SCHEMA}{_NAME}\s+ON\s+{_NAME}\s*\(([^()]*)\)\s*;?\s*$",
    re.IGNORECASE,
)
_WRITES = re.compile(r"(?:WITH\b.*?\b)?(DELETE|UPDATE|INSERT|REPLACE)\b", re.IGNORECASE | re.DOTALL)
_DEFINES = re.compile(r"(?:DROP|ALTER)\s+(?!INDEX\b|TRIGGER\b|VIEW\b)", re.IGNORECASE)
_TARGET = re.compile(
    rf"\b(?:DELETE\s+FROM|UPDATE(?:\s+OR\s+\w+)?|INSERT(?:\s+OR\s+\w+)?\s+INTO|REPLACE\s+INTO)\s+{_SCHEMA}{_NAME}",
    re.IGNORECASE,
)
_READS = re.compile(
    r"(?:SELECT|VALUES|EXPLAIN|SAVEPOINT|RELEASE|ROLLBACK\s+(?:TRANSACTION\s+)?TO)\b"
    r"|PRAGMA\s+(?:\w+\s*\.\s*)?\w+\s*;?\s*$"
    r"|PRAGMA\s+(?:\w+\s*\.\s*)?(?:table|index|foreign_key|function|collation|database)_x?\w+\s*\(",
    re.IGNORECASE,
)


def effects_of(statement: str, driver: sqlite3.Connection | None) -> list[Effect]:
    """The effects of a statement.

    Args:
        statement: with `?` or `:name` for values.
        driver: a connection to the database, to ask; nothing is executed on it.
    """
    statement = lexer.without_comments(statement)
    if match := _ALTER.match(statement):
        return [_altered(match)]
    if match := _DROP.match(statement):
        return [Effect(Kind.DROP_TABLE, _table(match))]
    if match := _CREATE.match(statement):
        return list(_created(match))
    if match := _UNIQUE.match(statement):
        return [_unique_index(match)]
    if _WRITES.match(statement):
        return _writes(statement, driver)
    if _DEFINES.match(statement):
        return _defines(statement, driver)
    if re.match(r"PRAGMA\s+(\w+\s*\.\s*)?writable_schema", statement, re.IGNORECASE):
        return [Effect(Kind.OPAQUE, "PRAGMA writable_schema")]
    if re.match(r"ATTACH\b", statement, re.IGNORECASE):  # another database's tables can have the names of ours
        return [Effect(Kind.OPAQUE, "ATTACH")]
    return []


def reads(statement: str) -> bool:
    """Whether it is a question and nothing else, so that it may be asked."""
    statement = lexer.without_comments(statement)
    if re.match(r"WITH\b", statement, re.IGNORECASE):
        outer = lexer.unquoted(lexer.outer(statement))
        return not re.search(r"\b(DELETE|UPDATE|INSERT|REPLACE)\b", outer, re.IGNORECASE)
    return _READS.match(statement) is not None


def _table(match: re.Match[str], *, at: int = 0) -> str:
    """The table that a match names, with its schema; `at` says which name it is, counted from the first group."""
    return qualified((match["schema"] or "").strip('"`[]').lower(), _first(match.groups()[1 + at : 5 + at]))


def _created(match: re.Match[str]) -> Iterator[Effect]:
    temporary = match["temporary"] or (match["schema"] or "").strip('"`[]').lower() == "temp"
    table = qualified(_first(match.groups()[2:6])) if temporary else _table(match, at=1)
    yield Effect(Kind.CREATE_TABLE, table, to=(TEMPORARY,) if temporary else ())
    if match.groups()[-1]:
        yield Effect(Kind.FILL, table)


def _unique_index(match: re.Match[str]) -> Effect:
    plain = [re.fullmatch(rf"\s*{_NAME}\s*", column) for column in match.groups()[-1].split(",")]
    columns = tuple(_first(column.groups()) for column in plain if column)
    all_plain = len(columns) == len(plain)
    return Effect(Kind.ADD_UNIQUE, _table(match, at=4), columns if all_plain else (), whole=all_plain)


def _altered(match: re.Match[str]) -> Effect:
    groups = match.groups()[1:]
    table, name, rest = _table(match), _first(groups[5:9]), groups[9]
    verb = " ".join(groups[4].upper().split())
    if verb == "RENAME TO":
        return Effect(Kind.RENAME_TABLE, table, to=(name,))
    if verb.startswith("RENAME"):
        renamed = re.search(rf"\bTO\s+{_NAME}", rest, re.IGNORECASE)
        return Effect(Kind.RENAME_COLUMN, table, (name,), to=(_first(renamed.groups()),) if renamed else (name,))
    if verb.startswith("ADD"):
        return Effect(Kind.ADD_COLUMN, table, (name,))
    return Effect(Kind.DROP_COLUMN, table, (name,))


def _writes(statement: str, driver: sqlite3.Connection | None) -> list[Effect]:
    outer = lexer.outer(statement)
    whole = not lexer.chooses(statement)
    target = _TARGET.search(outer)
    own = _table(target) if target else ""
    told = sqlite_authorizer.told(statement, driver)
    if told is None:  # it names something that this run makes, so SQLite can't compile it yet
        verb = target[0].split(None, 1)[0].upper() if target else ""
        kind = {"DELETE": Kind.DELETE, "UPDATE": Kind.UPDATE}.get(verb, Kind.FILL)
        columns = _assigned(outer) if kind is Kind.UPDATE else ()
        if not own or (kind is Kind.UPDATE and not columns):
            return [Effect(Kind.OPAQUE, "SQL that SQLite can't compile yet")]
        return [Effect(kind, own, columns, whole=whole)]
    mine = own.rpartition(".")[2].lower()
    return [
        *(
            Effect(Kind.DELETE, table, whole=whole or table.rpartition(".")[2].lower() != mine)
            for table in sorted(told.deletes)
        ),
        *(
            Effect(Kind.UPDATE, table, tuple(sorted(columns)), whole=whole)
            for table, columns in sorted(told.updates.items())
        ),
        *(Effect(Kind.FILL, table) for table in sorted(told.inserts)),
    ]


def _defines(statement: str, driver: sqlite3.Connection | None) -> list[Effect]:
    """What DROP and ALTER do in a spelling that isn't known here."""
    told = sqlite_authorizer.told(statement, driver)
    if told is None:
        return [Effect(Kind.OPAQUE, "SQL that SQLite can't compile yet")]
    return [
        *(Effect(Kind.DROP_TABLE, table) for table in sorted(told.drops)),
        *(Effect(Kind.OPAQUE, f"ALTER TABLE {table}") for table in sorted(told.alters)),
    ]


def _assigned(outer: str) -> tuple[str, ...]:
    """The columns that an UPDATE sets."""
    found = re.search(r"\bSET\b(.*?)(?:\bWHERE\b|\bFROM\b|\bRETURNING\b|$)", outer, re.IGNORECASE | re.DOTALL)
    names = re.finditer(rf"(?:^|,)\s*{_NAME}\s*=", found[1]) if found else ()
    return tuple(_first(name.groups()) for name in names)


def _first(groups: tuple[str | None, ...]) -> str:
    """The name that one of the ways to quote it has matched."""
    doubled, *plain = groups[:4]
    return doubled.replace('""', '"') if doubled else next((name for name in plain if name), "")
