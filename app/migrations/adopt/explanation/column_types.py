"""Types of columns beside those of head: wider, narrower, or another thing."""

import re
from dataclasses import dataclass
from enum import StrEnum

_INTEGERS = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
_TYPE = re.compile(r"([a-z][a-z ]*?)(?:\((\d+)(?:, ?(\d+))?\))?( with(?:out)? time zone)?(\[\])?", re.IGNORECASE)
_TEXT, _VARCHAR = "text", "character varying"
_UNBOUNDED = 10**9
_MOST_DIGITS = 6  # of a second, on PostgreSQL


class Relation(StrEnum):
    """The relation of a found type to the expected one."""

    SAME = "same"
    CHEAP = "cheap"  # can be changed in the catalog alone, and takes more then
    SMALLER = "smaller"  # an integer of fewer bytes: the change writes the table anew
    OTHER = "other"  # takes what the expected one takes, or more; or is read alike
    CONTRADICTS = "contradicts"


@dataclass(frozen=True)
class _Type:
    base: str
    size: int | None
    scale: int | None
    is_array: bool

    @classmethod
    def of(cls, text: str) -> "_Type":
        match = _TYPE.fullmatch(text)
        if match is None:
            return cls(text, None, None, False)
        size, scale = (int(number) if number else None for number in (match[2], match[3]))
        return cls((match[1] + (match[4] or "")).lower(), size, scale, bool(match[5]))


def largest(kind: str) -> int | None:
    """Returns the largest value of an integer type; None for any other type."""
    return _INTEGERS.get(kind)


def relation(dialect: str, found: str, expected: str) -> Relation:
    """Returns how a found type relates to the expected one."""
    if found == expected:
        return Relation.SAME
    return _of_postgresql(found, expected) if dialect == "postgresql" else _of_sqlite(found, expected)


def _of_postgresql(found: str, expected: str) -> Relation:
    have, want = _Type.of(found), _Type.of(expected)
    if have.is_array != want.is_array:
        return Relation.CONTRADICTS
    if have.is_array:
        same = _of_postgresql(found.removesuffix("[]"), expected.removesuffix("[]"))
        return Relation.OTHER if same is not Relation.CONTRADICTS else same
    if have.base in _INTEGERS and want.base in _INTEGERS:
        return Relation.SMALLER if _INTEGERS[have.base] < _INTEGERS[want.base] else Relation.OTHER
    if {have.base, want.base} <= {_TEXT, _VARCHAR}:
        return Relation.CHEAP if _length(have) <= _length(want) else Relation.OTHER
    if {have.base, want.base} <= {"json", "jsonb"}:
        return Relation.OTHER
    if have.base != want.base:
        return Relation.CONTRADICTS
    if have.base == "numeric":
        return _of_numerics(have, want)
    if have.base.startswith("time"):
        digits = [_MOST_DIGITS if kind.size is None else kind.size for kind in (have, want)]
        return Relation.CHEAP if digits[0] < digits[1] else Relation.OTHER  # of as many, both take the same
    return Relation.CONTRADICTS


def _length(kind: _Type) -> int:
    return _UNBOUNDED if kind.base == _TEXT or kind.size is None else kind.size


def _of_numerics(have: _Type, want: _Type) -> Relation:
    if have.size is None:
        return Relation.OTHER
    if want.size is None:
        return Relation.CHEAP
    scales = have.scale or 0, want.scale or 0
    if scales[0] == scales[1]:
        return Relation.CHEAP if have.size <= want.size else Relation.OTHER
    whole = have.size - scales[0], want.size - scales[1]
    takes_all = whole[0] >= whole[1] and scales[0] >= scales[1]
    return Relation.OTHER if takes_all else Relation.CONTRADICTS


def affinity(kind: str) -> str:
    """Returns the affinity of a type of SQLite."""
    words = kind.upper()
    for fragments, result in (
        (("INT",), "INTEGER"),
        (("CHAR", "CLOB", "TEXT"), "TEXT"),
        (("BLOB",), "BLOB"),
        (("REAL", "FLOA", "DOUB"), "REAL"),
    ):
        if any(fragment in words for fragment in fragments):
            return result
    return "BLOB" if not words else "NUMERIC"


def _of_sqlite(found: str, expected: str) -> Relation:
    """Compares by affinity: SQLite stores by nothing else, and keeps no length."""
    have, want = affinity(found), affinity(expected)
    if expected.upper().startswith("CHAR(") and not found.upper().startswith("CHAR("):
        return Relation.CONTRADICTS  # a UUID without hyphens: another text would be another id
    if have == want:
        return Relation.CHEAP
    numbers = {"INTEGER", "NUMERIC", "REAL"}
    is_json = expected.upper() == "JSON" and have == "TEXT"
    return Relation.OTHER if {have, want} <= numbers or is_json else Relation.CONTRADICTS
