"""The text of a CREATE TABLE of SQLite: its parts, and the clauses that no pragma reports in full."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from app.migrations.sql import lexer
from app.sql_text import unquoted

_DEPTH = {"(": 1, ")": -1}
_KINDS = ("CHECK", "PRIMARY", "REFERENCES", "UNIQUE")
_KEPT = 4096  # texts: a table is read more than once, and each of its columns for several facts
_DEFERRED = "DEFERRABLE INITIALLY DEFERRED"


@dataclass(frozen=True)
class Clause:
    """A CHECK, a PRIMARY KEY, a REFERENCES or a UNIQUE.

    Attributes:
        kind: its first word.
        name: the name of the constraint, if it has one.
        column: the first word of the part that it stands in: the column, if the clause is a column's.
        body: what stands in the brackets after the first word; for REFERENCES, after the name of the table.
        deferred: a foreign key is checked when its transaction ends.
        conflict: what ends a conflict, such as `IGNORE`; empty if nothing is said.
    """

    kind: str
    name: str | None
    column: str
    body: str | None
    deferred: bool = False
    conflict: str = ""


@lru_cache(maxsize=_KEPT)
def parts(create: str) -> tuple[str, ...]:
    """Returns what stands between the commas of the outer brackets, without comments."""
    return tuple(_parts(create))


def _parts(create: str) -> Iterator[str]:
    part, depth = "", 0
    for token in lexer.tokens(create):
        outside = depth == 0
        depth += _DEPTH.get(token, 0)
        if outside:  # the table's name, and the first bracket
            continue
        ends = depth == 1 and token == ","  # noqa: S105 - no password
        if depth == 0 or ends:
            yield part.strip()
            part = ""
        else:
            part += " " if token.startswith(("--", "/*")) else token
        if depth == 0:
            return


@lru_cache(maxsize=_KEPT)
def clauses(create: str) -> tuple[Clause, ...]:
    """Returns the clauses in the order in which they are written."""
    return tuple(clause for part in parts(create) for clause in _clauses_of(words(part)))


@lru_cache(maxsize=_KEPT)
def words(text: str) -> tuple[str, ...]:
    """Returns the words of a text; what stands in brackets is one word, with its brackets."""
    result: list[str] = []
    depth = 0
    for token in lexer.tokens(text):
        if depth:
            result[-1] += token
        elif not token.isspace() and not token.startswith(("--", "/*")):
            result.append(token)
        depth += _DEPTH.get(token, 0)
    return tuple(result)


def columns(create: str) -> dict[str, str]:
    """Returns the definition of each column by its name in small letters."""
    return {plain(words(part)[0]).lower(): part for part in parts(create) if part}


def collation(part: str) -> str:
    """Returns the collation of a column."""
    said = words(part)
    places = (place for place, word in enumerate(said[:-1]) if word.upper() == "COLLATE")
    return next((plain(said[place + 1]).upper() for place in places), "BINARY")


def conflict_of_null(part: str) -> str:
    """Returns what ends a conflict with the NOT NULL of a column; empty if nothing is said."""
    said = words(part)
    places = (
        place for place in range(len(said) - 1) if [word.upper() for word in said[place : place + 2]] == ["NOT", "NULL"]
    )
    return next((_conflict(said[place + 2 :]) for place in places), "")


def generated(part: str) -> tuple[str, bool] | None:
    """Returns the expression of a generated column with its brackets, and whether its values are stored."""
    said = words(part)
    for place, word in enumerate(said[:-1]):
        if word.upper() == "AS" and said[place + 1].startswith("("):
            kept = said[place + 2].upper() if len(said) > place + 2 else ""
            return said[place + 1], kept == "STORED"
    return None


def terms_of(index: str) -> str:
    """Returns what a CREATE INDEX says after the name of its table."""
    said = words(index)
    place = next((place for place, word in enumerate(said) if word.upper() == "ON"), len(said))
    return " ".join(said[place + 2 :])


def mentions(text: str, column: str) -> bool:
    """Returns whether a piece of SQL names a column."""
    names = (token for token in lexer.tokens(text) if token[0] != "'")
    return any(unquoted(name).lower() == column.lower() for name in names)


def plain(name: str) -> str:
    """Returns a name without its quotes; SQLite takes a text for a name as well."""
    return name[1:-1].replace("''", "'") if name[0] == "'" else unquoted(name)


def _clauses_of(part: Sequence[str]) -> Iterator[Clause]:
    name = None
    for place, word in enumerate(part):
        rest = part[place + 1 :]
        kind = word.upper()
        if kind == "CONSTRAINT" and rest:
            name = plain(rest[0])
        elif kind in _KINDS:
            # The table that is referred to, or KEY.
            body = next(
                (other for other in rest[: 2 if kind in ("PRIMARY", "REFERENCES") else 1] if other[0] == "("), None
            )
            inside = body[1:-1].strip() if body else None
            deferred = kind == "REFERENCES" and _is_deferred(rest)
            yield Clause(kind, name, plain(part[0]), inside, deferred, _conflict(rest))
        # A name is that of the clause after it; FOREIGN KEY (a) REFERENCES … is one clause.
        if kind in (*_KINDS, "NOT", "NULL", "DEFAULT", "COLLATE", "GENERATED", "AS"):
            name = None


def _conflict(after: Sequence[str]) -> str:
    said = _until_next(after, "NOT", "NULL", "DEFAULT")
    place = next((place for place, word in enumerate(said[:-2]) if said[place : place + 2] == ["ON", "CONFLICT"]), None)
    return "" if place is None else said[place + 2]


def _until_next(after: Sequence[str], *more: str) -> list[str]:
    """Returns the words, in capitals, up to the next clause."""
    said = [word.upper() for word in after]
    return said[: next((place for place, word in enumerate(said) if word in ("CONSTRAINT", *_KINDS, *more)), None)]


def _is_deferred(after: Sequence[str]) -> bool:
    text = " ".join(_until_next(after))
    return _DEFERRED in text and f"NOT {_DEFERRED}" not in text
