"""Names and values as SQL text: the one place that quotes, escapes and joins them."""

import hashlib
import itertools
import re
from collections.abc import Callable
from typing import Any

TABLE_COPY = "_alembic_tmp_"  # Alembic's prefix for the copy by which it alters a SQLite table
MOST_BYTES = 63  # PostgreSQL cuts a longer name
_DIGITS = 8  # of the digest in a name that would be too long
MOST_CHARACTERS_OF_A_COPY = 50  # Alembic cuts longer names of copies
# abs() of the smallest integer overflows: the one error that plain SQLite SQL can raise outside a trigger.
RAISE = "abs(-9223372036854775807 - 1)"

NAME = r'("(?:[^"]|"")+"|`[^`]+`|\[[^\]]+\]|\w[\w$]*)'  # a name of SQLite, in a regular expression

_PART = re.compile(r'"((?:[^"]|"")+)"|([^."]+)')


def literal(value: object) -> str:
    """Returns a text as a literal."""
    return "'" + str(value).replace("'", "''") + "'"


def quoted(name: str) -> str:
    """Returns a name in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def quote_for(dialect: Any) -> Callable[[str], str]:
    """Returns what quotes a name where a dialect needs it, for a statement without parameters: no `%` is doubled."""
    quote: Callable[[str], str] = undoubled(dialect).identifier_preparer.quote
    return quote


def undoubled(dialect: Any) -> Any:
    """Returns a dialect that spells statements without parameters: no `%` is doubled."""
    return type(dialect)(paramstyle="named")


def unquoted(name: str) -> str:
    """Returns a name of SQLite without its quotes, of whichever kind."""
    return name[1:-1].replace('""', '"') if name[0] in '"[`' else name


def qualified(*parts: str) -> str:
    """Returns a name with its schema as one word: a part that holds a dot or a quote is quoted."""
    return ".".join(quoted(part) if {".", '"'} & set(part) else part for part in parts if part)


def parts_of(name: str) -> list[str]:
    """Returns the parts of such a word."""
    return [in_quotes.replace('""', '"') or plain for in_quotes, plain in _PART.findall(name)]


def bare(name: str) -> str:
    """Returns the last part of such a word: the table without its schema."""
    return (parts_of(name) or [""])[-1]


def copy_of(table: str) -> str:
    """Returns the name of the copy by which Alembic alters a SQLite table."""
    return f"{TABLE_COPY}{table}"[:MOST_CHARACTERS_OF_A_COPY]


def without_parameters(statement: str) -> str:
    """Returns what `sqlalchemy.text` takes for this very statement: no colon begins a parameter."""
    return statement.replace(":", r"\:")


def for_driver(statement: str, dialect: Any) -> str:
    """Returns what `exec_driver_sql` takes for this very statement: psycopg reads `%` as a parameter."""
    return statement.replace("%", "%%") if dialect.name == "postgresql" else statement


def fitting(name: str) -> str:
    """Returns a name that PostgreSQL doesn't cut: itself, or its beginning with a digest of all of it."""
    encoded = name.encode()
    if len(encoded) <= MOST_BYTES:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:_DIGITS]
    return encoded[: MOST_BYTES - _DIGITS - 1].decode(errors="ignore") + f"_{digest}"


def free_name(wanted: str, is_taken: Callable[[str], bool], first: int = 1) -> str:
    """Returns a name that PostgreSQL doesn't cut: the wanted one, or with a number from `first` on if that is taken."""
    names = itertools.chain([wanted], (f"{wanted}_{number}" for number in itertools.count(first)))
    return next(name for name in map(fitting, names) if not is_taken(name))
