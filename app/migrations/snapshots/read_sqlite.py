"""A SQLite schema as a snapshot: read from its pragmas, and from the text of its statements."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import dialect as Dialect  # noqa: N812 - a class

from app.migrations.project import OWN_TABLES
from app.migrations.sql import create_table, lexer, sqlite_table

# In the words of docs/operations.md; answered by `schema check --json`.
NOT_READ = (
    "names of NOT NULL constraints",
    "MATCH of foreign keys",
    "DESC and COLLATE in primary keys",
    "the order of columns",
    "modules and arguments of virtual tables",
    "settings that a pragma keeps in the file",
    "attached databases and temporary objects",
)

_WORDS = {
    *("AFTER", "AND", "AS", "ASC", "BEFORE", "BEGIN", "CHECK", "COLLATE", "CREATE", "DELETE", "DESC", "EACH", "END"),
    *("EXISTS", "FOR", "FROM", "IF", "IN", "INDEX", "INSERT", "INSTEAD", "INTO", "IS", "NOT", "NULL", "OF", "ON", "OR"),
    *("ROW", "SELECT", "SET", "TRIGGER", "UNIQUE", "UPDATE", "VALUES", "VIEW", "WHEN", "WHERE"),
}
quote = Dialect().identifier_preparer.quote


def read(connection: sa.Connection) -> dict[str, dict[str, Any]]:
    """Reads the tables, indexes, triggers and views of the main database."""
    snapshot: dict[str, dict[str, Any]] = {}
    tables = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'").all()
    for name, sql in tables:
        if name not in OWN_TABLES and not name.startswith("sqlite_"):
            snapshot[f"table {name}"] = _options(sql)
            snapshot |= _columns(connection, name, create_table.columns(normalised(sql)))
            snapshot |= _constraints(connection, name, sql)
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL AND type <> 'table'"
    for kind, name, table, sql in connection.exec_driver_sql(query):
        if table not in OWN_TABLES:
            key = f"view {name}" if kind == "view" else f"{kind} {table}.{name}"
            snapshot[key] = {"definition": normalised(sql)}
    return snapshot


@lru_cache(maxsize=4096)
def normalised(sql: str) -> str:
    """Returns SQL in one spelling: without comments, needless blanks and needless quotes."""
    text = "".join(_spelt(token) for token in lexer.tokens(sql))
    pieces = re.split(r"('(?:[^']|'')*')", text)
    pieces[::2] = [_spaced(piece) for piece in pieces[::2]]
    return "".join(pieces).strip().replace("IF NOT EXISTS ", "", 1)


def _spelt(token: str) -> str:
    if token.isspace() or token.startswith(("--", "/*")):
        return " "
    if token[0] in '"[`' and len(token) > 1:
        return quote(token[1:-1].replace('""', '"'))
    return token.upper() if token.upper() in _WORDS else token


def _spaced(text: str) -> str:
    text = re.sub(r"\s+", " ", text)
    return re.sub(r" ?, ?", ", ", re.sub(r" (?=\))|(?<=\() ", "", text))


def _options(sql: str) -> dict[str, Any]:
    text = re.sub(r"'(?:[^']|'')*'", "''", normalised(sql)).upper()
    options = re.findall(r"\b(?:STRICT|WITHOUT ROWID)\b", text.rpartition(")")[2])
    options += re.findall(r"\bAUTOINCREMENT\b", text)
    return {"options": sorted(set(options))} if options else {}


def _columns(connection: sa.Connection, table: str, texts: dict[str, str]) -> dict[str, dict[str, Any]]:
    columns = {}
    # Hidden columns are those of virtual tables; generated ones have another number.
    query = 'SELECT name, type, "notnull", dflt_value FROM pragma_table_xinfo(?) WHERE hidden <> 1'
    for name, kind, required, default in connection.exec_driver_sql(query, (table,)):
        facts: dict[str, Any] = {"type": kind.upper(), "nullable": not required}
        if default is not None:
            facts["default"] = sqlite_table.without_brackets(normalised(default))
        text = texts.get(name.lower(), "")
        if (collation := create_table.collation(text)) != "BINARY":
            facts["collation"] = collation
        if conflict := create_table.conflict_of_null(text):
            facts["on_conflict"] = conflict
        if (generated := create_table.generated(text)) is not None:
            facts["generated"] = f"{generated[0]} {'STORED' if generated[1] else 'VIRTUAL'}"
        columns[f"column {table}.{name}"] = facts
    return columns


def _constraints(connection: sa.Connection, table: str, create: str) -> dict[str, dict[str, Any]]:
    def read(question: str) -> list[Any]:
        return list(connection.exec_driver_sql(question))

    definitions: list[tuple[str | None, str]] = []
    clauses = [*create_table.clauses(create)]
    if key := sqlite_table.primary_key(read, table):
        primary = next((clause for clause in clauses if clause.kind == "PRIMARY"), None)
        name, conflict = (primary.name, _conflict(primary)) if primary else (None, "")
        definitions.append((name, f"PRIMARY KEY ({_listed(key)}){conflict}"))
    conflicts = {sqlite_table.columns_of(clause): _conflict(clause) for clause in clauses if clause.kind == "UNIQUE"}
    for unique in sqlite_table.uniques(read, table):
        conflict = conflicts.get(tuple(name.lower() for name in unique.columns), "")
        definitions.append((unique.name, f"UNIQUE ({unique.listed(quote)}){conflict}"))
    for foreign in sqlite_table.foreign_keys(read, table):
        target = f"{quote(foreign.table)}({_listed(foreign.referred)})"
        text = f"FOREIGN KEY ({_listed(foreign.columns)}) REFERENCES {target}"
        actions = {"ON DELETE": foreign.on_delete, "ON UPDATE": foreign.on_update}
        text += "".join(f" {words} {action}" for words, action in actions.items() if action != "NO ACTION")
        definitions.append((foreign.name, text + " DEFERRABLE INITIALLY DEFERRED" * foreign.deferred))
    checks = (clause for clause in clauses if clause.kind == "CHECK")
    definitions += [(check.name, f"CHECK ({normalised(check.body or '')}){_conflict(check)}") for check in checks]
    # A constraint without a name is identified by its text.
    return {f"constraint {table}.{name or f'({text})'}": {"definition": text} for name, text in definitions}


def _conflict(clause: create_table.Clause) -> str:
    return f" ON CONFLICT {clause.conflict}" if clause.conflict else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(quote(name) for name in names)
