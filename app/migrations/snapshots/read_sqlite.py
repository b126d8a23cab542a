"""Reads a SQLite schema into a snapshot: what its pragmas tell, and from its texts what they don't."""

import re
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import dialect as Dialect  # noqa: N812 - a class

from app.migrations.project import OWN_TABLES
from app.migrations.sql import lexer, literal

_WORDS = {
    *("AFTER", "AND", "AS", "ASC", "BEFORE", "BEGIN", "CHECK", "COLLATE", "CREATE", "DELETE", "DESC", "EACH", "END"),
    *("FOR", "FROM", "IN", "INDEX", "INSERT", "INSTEAD", "INTO", "IS", "NOT", "NULL", "OF", "ON", "OR", "ROW"),
    *("SELECT", "SET", "TRIGGER", "UNIQUE", "UPDATE", "VALUES", "VIEW", "WHEN", "WHERE"),
}
_quote = Dialect().identifier_preparer.quote


def read(connection: sa.Connection) -> dict[str, dict[str, Any]]:
    """The tables, indexes, triggers and views of the main database."""
    found: dict[str, dict[str, Any]] = {}
    inspector = sa.inspect(connection)
    tables = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'").all()
    for name, sql in tables:
        if name not in OWN_TABLES and not name.startswith("sqlite_"):
            found[f"table {name}"] = _options(sql)
            found |= _columns(connection, name, dict(_parts(sql)))
            found |= _constraints(inspector, name)
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL AND type <> 'table'"
    for kind, name, table, sql in connection.exec_driver_sql(query):
        if table not in OWN_TABLES:
            key = f"view {name}" if kind == "view" else f"{kind} {table}.{name}"
            found[key] = {"definition": plain(sql)}
    return found


def plain(sql: str) -> str:
    """A statement or an expression in one spelling: blanks, comments and needless quotes don't count."""
    text = "".join(_spelt(token) for token in lexer.tokens(sql))
    pieces = re.split(r"('(?:[^']|'')*')", text)
    pieces[::2] = [_spaced(piece) for piece in pieces[::2]]
    return "".join(pieces).strip().replace("IF NOT EXISTS ", "", 1)


def _spelt(token: str) -> str:
    if token.isspace() or token.startswith(("--", "/*")):
        return " "
    if token[0] in '"[`' and len(token) > 1:
        return _quote(token[1:-1].replace('""', '"'))
    return token.upper() if token.upper() in {*_WORDS, "IF", "EXISTS"} else token


def _spaced(text: str) -> str:
    text = re.sub(r"\s+", " ", text)
    return re.sub(r" ?, ?", ", ", re.sub(r" (?=\))|(?<=\() ", "", text))


def _options(sql: str) -> dict[str, Any]:
    said = re.sub(r"'(?:[^']|'')*'", "''", plain(sql)).upper()
    options = re.findall(r"\b(?:STRICT|WITHOUT ROWID)\b", said.rpartition(")")[2])
    options += re.findall(r"\bAUTOINCREMENT\b", said)
    return {"options": sorted(set(options))} if options else {}


def _columns(connection: sa.Connection, table: str, texts: dict[str, str]) -> dict[str, dict[str, Any]]:
    found = {}
    query = f'SELECT name, type, "notnull", dflt_value FROM pragma_table_xinfo({literal(table)}) WHERE hidden <> 1'
    for name, kind, required, default in connection.exec_driver_sql(query):
        facts: dict[str, Any] = {"type": kind.upper(), "nullable": not required}
        if default is not None:
            facts["default"] = _unbracketed(plain(default))
        text = texts.get(name.lower(), "")
        if match := re.search(r"\bCOLLATE (\w+)", text, re.IGNORECASE):
            facts["collation"] = match[1].upper()
        if match := re.search(r"\b(?:GENERATED ALWAYS )?AS (\(.*\)) ?(STORED|VIRTUAL)?", text, re.IGNORECASE):
            facts["generated"] = f"{match[1]} {(match[2] or 'VIRTUAL').upper()}"
        found[f"column {table}.{name}"] = facts
    return found


def _parts(sql: str) -> Iterator[tuple[str, str]]:
    """The parts of a CREATE TABLE by their first word, in lower case, which of a column is its name."""
    part: list[str] = []
    depth = 0
    for word in [*lexer.tokens(plain(sql)), ","]:
        depth += {"(": 1, ")": -1}.get(word, 0)
        if (word == "," and depth <= 1) or (word == "(" and depth == 1):
            words = [word for word in part if not word.isspace()]
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
    definitions += [
        (unique["name"], f"UNIQUE ({_listed(unique['column_names'])})")
        for unique in inspector.get_unique_constraints(table)
    ]
    for foreign in inspector.get_foreign_keys(table):
        refers = f"{_quote(foreign['referred_table'])}({_listed(foreign['referred_columns'])})"
        own = _listed(foreign["constrained_columns"])
        definitions.append((foreign["name"], f"FOREIGN KEY ({own}) REFERENCES {refers}{_clauses(foreign['options'])}"))
    definitions += [
        (check["name"], f"CHECK ({plain(check['sqltext'])})") for check in inspector.get_check_constraints(table)
    ]
    # One without a name is known by what it says.
    return {f"constraint {table}.{name or f'({text})'}": {"definition": text} for name, text in definitions}


def _clauses(options: dict[str, Any]) -> str:
    words = (("ondelete", "ON DELETE"), ("onupdate", "ON UPDATE"), ("initially", "DEFERRABLE INITIALLY"))
    return "".join(f" {word} {options[option]}" for option, word in words if options.get(option))


def _listed(names: list[str]) -> str:
    return ", ".join(_quote(name) for name in names)


def _unbracketed(default: str) -> str:
    # A table copy writes the same default in brackets.
    while default.startswith("(") and default.endswith(")") and _closes_last(default):
        default = default[1:-1]
    return default


def _closes_last(text: str) -> bool:
    depth = 0
    for place, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return place == len(text) - 1
    return False
