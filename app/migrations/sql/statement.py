"""Placeholder, to be replaced by the gate branch."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

MARKER = "/* backfill */"

_NAME = r'(?:"[^"]*"|[\w$.])+'
# These take locks that let everybody else read and write, for as long as they like.
_UNHURRIED = re.compile(
    r"(CREATE\s+(UNIQUE\s+)?INDEX\s+CONCURRENTLY|DROP\s+INDEX\s+CONCURRENTLY|REINDEX\b.*\bCONCURRENTLY"
    r"|VACUUM(?!.*\bFULL\b)|ANALYZE"
    rf"|ALTER\s+TABLE\s+(IF\s+EXISTS\s+)?(ONLY\s+)?{_NAME}(\s+VALIDATE\s+CONSTRAINT\s+{_NAME}\s*,?)+\s*;?\s*\Z)",
    re.IGNORECASE | re.DOTALL,
)
_BUILDS = re.compile(
    rf"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?({_NAME})\s+ON\s+(?:ONLY\s+)?({_NAME})",
    re.IGNORECASE,
)
_INDEX = re.compile(r"(CREATE|DROP)\b", re.IGNORECASE)
_DEFINES = re.compile(
    r"(CREATE|ALTER|DROP|TRUNCATE|LOCK|COMMENT|GRANT|REVOKE|REINDEX|CLUSTER|VACUUM|REFRESH)\b", re.IGNORECASE
)
_READS = re.compile(
    r"(SELECT(?!.*\bINTO\b)|WITH(?!.*\b(?:INSERT|UPDATE|DELETE|MERGE|INTO)\b)|SHOW|SET|RESET"
    r"|EXPLAIN(?!.*\bANALYZE\b)|PRAGMA|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)\b",
    re.IGNORECASE | re.DOTALL,
)
_COMMENTS = re.compile(r"(\s+|--[^\n]*(\n|\Z)|/\*.*?\*/)+", re.DOTALL)
_SEVERAL = re.compile(r";\s*\S")
# A row each, so that a longest time to run means nothing.
_BOOKS = re.compile(r"(INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+(alembic_version|schema_ledger)\b", re.IGNORECASE)
_TAKES_BACK = re.compile(r"ROLLBACK\b", re.IGNORECASE)
_UNLESS_DONE = re.compile(r"\bIF\s+(NOT\s+)?EXISTS\b", re.IGNORECASE)


def can_run_again(statement: str) -> bool:
    """Whether a statement may be run a second time after it was done, or half done."""
    if MARKER in statement:
        return True
    statement = _without_comments_before(statement)
    return not _SEVERAL.search(statement) and bool(
        _READS.match(statement)
        or (_UNHURRIED.match(statement) and not _INDEX.match(statement))
        or (_DEFINES.match(statement) and _UNLESS_DONE.search(statement))
    )


def _without_comments_before(statement: str) -> str:
    found = _COMMENTS.match(statement)
    return statement[found.end() :] if found else statement


class Hurry(Enum):
    """Limits."""

    NONE = 0
    LOCK_ONLY = 1
    LOCK_AND_TIME = 2


@dataclass(frozen=True)
class Statement:
    """One statement."""

    dialect: str
    text: str
    driver: Any
    own: bool = True
    of_revision: bool = True

    @property
    def hurry(self) -> Hurry:
        """Limits."""
        text = _without_comments_before(self.text)
        if _SEVERAL.search(text):
            return Hurry.LOCK_AND_TIME
        if _UNHURRIED.match(text):
            return Hurry.NONE
        return Hurry.LOCK_AND_TIME if _DEFINES.match(text) else Hurry.LOCK_ONLY

    @property
    def repeatable(self) -> bool:
        """Again."""
        return can_run_again(self.text)

    @property
    def concurrent_index(self) -> tuple[str, str] | None:
        """Build."""
        build = _BUILDS.match(_without_comments_before(self.text))
        return (build[1], build[2]) if build else None

    @property
    def ends_savepoint(self) -> bool:
        """Rollback."""
        return bool(_TAKES_BACK.match(_without_comments_before(self.text)))

    @property
    def writes_one_row(self) -> bool:
        """Books."""
        return bool(_BOOKS.match(self.text))
