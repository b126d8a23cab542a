"""A table of SQLite as SQLite itself reports it: its pragmas, and the text of its statement where they are silent."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from app.migrations.sql import lexer
from app.migrations.sql.create_table import Clause, clauses, collation, columns, plain, words
from app.sql_text import literal, quoted

Read = Callable[[str], list[Any]]

_NAME = re.compile(r"[^\W\d]\w*")
_VALUES = {"TRUE", "FALSE", "NULL", "CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP"}
_DEPTH = {"(": 1, ")": -1}


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key; `referred` are the primary key's columns where the statement names none."""

    name: str | None
    columns: tuple[str, ...]
    table: str
    referred: tuple[str, ...]
    on_update: str
    on_delete: str
    deferred: bool

    def __str__(self) -> str:
        text = f"FOREIGN KEY ({_listed(self.columns)}) REFERENCES {quoted(self.table)} ({_listed(self.referred)})"
        actions = {"ON UPDATE": self.on_update, "ON DELETE": self.on_delete}
        text += "".join(f" {words} {action}" for words, action in actions.items() if action != "NO ACTION")
        return text + (" DEFERRABLE INITIALLY DEFERRED" if self.deferred else "")


@dataclass(frozen=True)
class Unique:
    """A unique constraint or a primary key; `terms` are each column and its COLLATE and DESC, if it has any."""

    name: str | None
    terms: tuple[tuple[str, str], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Returns the names of the columns."""
        return tuple(column for column, _ in self.terms)

    def listed(self, quote: Callable[[str], str] = quoted) -> str:
        """Returns the terms as SQL."""
        return ", ".join(f"{quote(column)}{more}" for column, more in self.terms)


def statement_of(read: Read, table: str) -> str:
    """Returns the CREATE TABLE of a table; empty if there is none of that name."""
    name = literal(table)
    rows = read(f"SELECT sql FROM sqlite_master WHERE type = 'table' AND name = {name} COLLATE NOCASE")
    return str(rows[0][0]) if rows else ""


def foreign_keys(read: Read, table: str) -> list[ForeignKey]:
    """Returns the foreign keys of a table, in the order of its statement."""
    written = [clause for clause in clauses(statement_of(read, table)) if clause.kind == "REFERENCES"]
    query = (
        'SELECT id, "table", "from", "to", on_update, on_delete '
        f"FROM pragma_foreign_key_list({literal(table)}) ORDER BY id DESC, seq"
    )
    rows: dict[int, list[Any]] = {}
    for number, *row in read(query):  # the last one has the number 0
        rows.setdefault(number, []).append(row)
    keys = []
    for parts, clause in zip(rows.values(), written, strict=True):
        target, _, to, on_update, on_delete = parts[0]
        referred = tuple(row[2] for row in parts) if to is not None else primary_key(read, target)
        names = tuple(row[1] for row in parts)
        keys.append(ForeignKey(clause.name, names, target, referred, on_update, on_delete, clause.deferred))
    return keys


def uniques(read: Read, table: str, origin: str = "u") -> list[Unique]:
    """Returns the unique constraints of a table; for the origin `pk` its primary key, if that has an index."""
    create = statement_of(read, table)
    names = {columns_of(clause): clause.name for clause in clauses(create) if clause.kind == "UNIQUE"}
    own = {name: collation(part) for name, part in columns(create).items()}
    result = []
    indexes = f"SELECT name FROM pragma_index_list({literal(table)}) WHERE origin = {literal(origin)} ORDER BY seq DESC"
    for (index,) in read(indexes):
        rows = read(f"SELECT name, coll, desc FROM pragma_index_xinfo({literal(index)}) WHERE key ORDER BY seqno")
        collations = [f" COLLATE {coll}" if coll.upper() != own.get(name.lower()) else "" for name, coll, _ in rows]
        terms = tuple((row[0], coll + " DESC" * row[2]) for row, coll in zip(rows, collations, strict=True))
        result.append(Unique(names.get(tuple(name.lower() for name, _ in terms)), terms))
    return result


def facts(read: Read, table: str) -> set[str]:
    """Returns everything that SQLite reports of a table, each as a line; a constraint's name is a line more."""
    result = set(_columns(read, table))
    constraints = [(key.name, str(key)) for key in foreign_keys(read, table)]
    constraints += [(unique.name, f"UNIQUE ({unique.listed()})") for unique in uniques(read, table)]
    constraints += [(None, f"PRIMARY KEY ({key.listed()})") for key in uniques(read, table, "pk")]
    written = [*clauses(statement_of(read, table))]
    result |= {f"CONSTRAINT {quoted(key.name)} PRIMARY KEY" for key in written if key.kind == "PRIMARY" and key.name}
    checks = (clause for clause in written if clause.kind == "CHECK")
    constraints += [(check.name, f"CHECK ({_spaced(check.body or '')})") for check in checks]
    for name, text in constraints:
        result |= {text, f"CONSTRAINT {quoted(name)} {text}"} if name else {text}
    return result


def without_brackets(default: str) -> str:
    """Returns a default without the brackets around it: a table copy writes the same default in brackets."""
    while default.startswith("("):
        depths = [*accumulate(_DEPTH.get(token, 0) for token in lexer.tokens(default))]
        if 0 in depths[:-1] or depths[-1]:
            break
        default = default[1:-1].strip()
    return default


def default_in_brackets(default: str) -> str:
    """Returns a default that may stand in brackets: there a name is no longer a text."""
    if default[0] in '"[`' or (_NAME.fullmatch(default) and default.upper() not in _VALUES):
        return literal(plain(default))
    return default


def _columns(read: Read, table: str) -> Iterator[str]:
    query = f'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo({literal(table)})'
    for name, kind, required, default, key, hidden in read(query):
        text = f"the column {quoted(name)} {kind.upper()}".rstrip() + (" NOT NULL" if required else "")
        text += f" DEFAULT {without_brackets(default_in_brackets(default))}" if default is not None else ""
        yield text + (f", number {key} of the primary key" if key else "") + (", generated" if hidden else "")


def primary_key(read: Read, table: str) -> tuple[str, ...]:
    """Returns the columns of a table's primary key, in its order."""
    rows = read(f"SELECT name FROM pragma_table_info({literal(table)}) WHERE pk ORDER BY pk")
    return tuple(name for (name,) in rows)


def columns_of(unique: Clause) -> tuple[str, ...]:
    """Returns the columns of a unique constraint, in small letters."""
    if unique.body is None:
        return (unique.column.lower(),)
    return tuple(plain(words(term)[0]).lower() for term in lexer.split(unique.body))


def _spaced(text: str) -> str:
    return " ".join(token for token in lexer.tokens(text) if not token.isspace())


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(quoted, names))
