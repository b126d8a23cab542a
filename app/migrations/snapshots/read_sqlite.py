"""A SQLite schema as a snapshot: read from its pragmas, and from the text of its statements."""

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import dialect as Dialect  # noqa: N812 - a class

from app.migrations.project import OWN_TABLES
from app.migrations.sql import lexer

_WORDS = {
    *("AFTER", "AND", "AS", "ASC", "BEFORE", "BEGIN", "CHECK", "COLLATE", "CREATE", "DELETE", "DESC", "EACH", "END"),
    *("EXISTS", "FOR", "FROM", "IF", "IN", "INDEX", "INSERT", "INSTEAD", "INTO", "IS", "NOT", "NULL", "OF", "ON", "OR"),
    *("ROW", "SELECT", "SET", "TRIGGER", "UNIQUE", "UPDATE", "VALUES", "VIEW", "WHEN", "WHERE"),
}
_CLAUSES = {"ondelete": "ON DELETE", "onupdate": "ON UPDATE", "initially": "DEFERRABLE INITIALLY"}
_DEPTH = {"(": 1, ")": -1}
quote = Dialect().identifier_preparer.quote


def read(connection: sa.Connection) -> dict[str, dict[str, Any]]:
    """Reads the tables, indexes, triggers and views of the main database."""
    snapshot: dict[str, dict[str, Any]] = {}
    inspector = sa.inspect(connection)
    tables = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'").all()
    for name, sql in tables:
        if name not in OWN_TABLES and not name.startswith("sqlite_"):
            snapshot[f"table {name}"] = _options(sql)
            snapshot |= _columns(connection, name, dict(_parts(sql)))
            snapshot |= _constraints(inspector, name)
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL AND type <> 'table'"
    for kind, name, table, sql in connection.exec_driver_sql(query):
        if table not in OWN_TABLES:
            key = f"view {name}" if kind == "view" else f"{kind} {table}.{name}"
            snapshot[key] = {"definition": normalised(sql)}
    return snapshot


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
            facts["default"] = _without_brackets(normalised(default))
        text = texts.get(name.lower(), "")
        if match := re.search(r"\bCOLLATE (\w+)", text, re.IGNORECASE):
            facts["collation"] = match[1].upper()
        if match := re.search(r"\b(?:GENERATED ALWAYS )?AS (\(.*\)) ?(STORED|VIRTUAL)?", text, re.IGNORECASE):
            facts["generated"] = f"{match[1]} {(match[2] or 'VIRTUAL').upper()}"
        columns[f"column {table}.{name}"] = facts
    return columns


def _parts(sql: str) -> Iterator[tuple[str, str]]:
    """Splits a CREATE TABLE into its parts; gives each with its first word, the name of a column."""
    part: list[str] = []
    depth = 0
    for word in [*lexer.tokens(normalised(sql)), ","]:
        depth += _DEPTH.get(word, 0)
        if (word == "," and depth <= 1) or (word == "(" and depth == 1):
            words = [other for other in part if not other.isspace()]
            if words:
                yield words[0].strip('"').lower(), "".join(part)
            part = []
        else:
            part.append(word)


def _constraints(inspector: sa.Inspector, table: str) -> dict[str, dict[str, Any]]:
    definitions: list[tuple[str | None, str]] = []
    key = inspector.get_pk_constraint(table)
    if key["constrained_columns"]:
        definitions.append((key["name"], f"PRIMARY KEY ({_listed(key['constrained_columns'])})"))
    uniques = inspector.get_unique_constraints(table)
    definitions += [(unique["name"], f"UNIQUE ({_listed(unique['column_names'])})") for unique in uniques]
    for foreign in inspector.get_foreign_keys(table):
        target = f"{quote(foreign['referred_table'])}({_listed(foreign['referred_columns'])})"
        text = f"FOREIGN KEY ({_listed(foreign['constrained_columns'])}) REFERENCES {target}"
        options = foreign["options"]
        clauses = (f" {words} {options[option]}" for option, words in _CLAUSES.items() if options.get(option))
        definitions.append((foreign["name"], text + "".join(clauses)))
    checks = inspector.get_check_constraints(table)
    definitions += [(check["name"], f"CHECK ({normalised(check['sqltext'])})") for check in checks]
    # A constraint without a name is identified by its text.
    return {f"constraint {table}.{name or f'({text})'}": {"definition": text} for name, text in definitions}


def _listed(names: list[str]) -> str:
    return ", ".join(quote(name) for name in names)


def _without_brackets(default: str) -> str:
    # A table copy writes the same default in brackets.
    while default.startswith("("):
        depths = [*accumulate(_DEPTH.get(character, 0) for character in default)]
        if 0 in depths[:-1] or depths[-1]:
            break
        default = default[1:-1]
    return default
