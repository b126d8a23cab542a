"""SQL statements, classified once for all guards of a run."""

import re
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from app.backfill import MARKER
from app.migrations.sql import type_changes

if TYPE_CHECKING:
    from app.migrations.sql.effects import Effect

# Begins a statement of ours whose need has been looked for: run a second time, it would be passed over.
REPEATABLE = "/* repeatable */"
MOST_CHARACTERS = 100_000  # a longer text isn't read: that would take longer than the run itself

_NAME = r'(?:"[^"]*"|[\w$.])+'
# These take locks that let everybody else read and write, for as long as they like.
_UNHURRIED = re.compile(
    r"(CREATE\s+(UNIQUE\s+)?INDEX\s+CONCURRENTLY|DROP\s+INDEX\s+CONCURRENTLY|REINDEX\b.*\bCONCURRENTLY"
    r"|VACUUM(?!.*\bFULL\b)|ANALYZE"
    rf"|ALTER\s+TABLE\s+(IF\s+EXISTS\s+)?(ONLY\s+)?{_NAME}(\s+VALIDATE\s+CONSTRAINT\s+{_NAME}\s*,?)+\s*;?\s*\Z)",
    re.IGNORECASE | re.DOTALL,
)
_CONCURRENT_INDEX = re.compile(
    rf"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?({_NAME})\s+ON\s+(?:ONLY\s+)?({_NAME})",
    re.IGNORECASE,
)
_DEFINES = re.compile(
    r"(CREATE|ALTER|DROP|TRUNCATE|LOCK|COMMENT|GRANT|REVOKE|REINDEX|CLUSTER|VACUUM|REFRESH)\b", re.IGNORECASE
)
_READS = re.compile(
    r"(SELECT(?!.*\bINTO\b)|WITH(?!.*\b(?:INSERT|UPDATE|DELETE|MERGE|INTO)\b)|SHOW|SET|RESET"
    r"|EXPLAIN(?!.*\bANALYZE\b)|PRAGMA|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)\b",
    re.IGNORECASE | re.DOTALL,
)
_INDEX = re.compile(r"(CREATE|DROP)\b", re.IGNORECASE)
_UNLESS_DONE = re.compile(r"\bIF\s+(NOT\s+)?EXISTS\b", re.IGNORECASE)
# A second time changes nothing, or does the same once more.
_AS_OFTEN = re.compile(r"(VACUUM|REINDEX|CLUSTER|REFRESH|COMMENT|GRANT|REVOKE)\b", re.IGNORECASE)
_SEVERAL = re.compile(r";\s*\S")
_ONE_ROW = re.compile(r"(INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+(alembic_version|schema_ledger)\b", re.IGNORECASE)
_WITHOUT_TRANSACTION = re.compile(
    r"(\w+\s+(DATABASE|TABLESPACE|SUBSCRIPTION|SYSTEM)|VACUUM|REINDEX|CLUSTER|CALL|DO|PREPARE|ATTACH|DETACH"
    r"|.*\bCONCURRENTLY)\b",
    re.IGNORECASE | re.DOTALL,
)
_RETURNS = re.compile(r"\bRETURNING\b", re.IGNORECASE)
_LEADING_COMMENTS = re.compile(r"(\s+|--[^\n]*(\n|\Z)|/\*.*?\*/)+", re.DOTALL)


class Transaction(Enum):
    """The transaction of a statement."""

    OPEN = "that of the revision, or one that the revision has begun"
    OWN = "one for this statement alone"
    NONE = "none: it is a question outside of any, or the database takes no transaction for it"


class Hurry(Enum):
    """The limits that a statement needs on PostgreSQL, by what it does to other sessions."""

    NONE = "its lock lets others read and write"
    LOCK_ONLY = "others wait while it waits for its lock"
    LOCK_AND_TIME = "others wait while it waits, and while it runs"


@dataclass(frozen=True)
class Statement:
    """A statement that is about to be executed. Each property is computed on first use; only `effects` loads a parser.

    Attributes:
        dialect: `postgresql` or `sqlite`.
        text: in the words of the driver: `%(name)s`, `?` or `:name` for a value.
        driver: the driver's connection that executes it; SQLite's authorizer is asked there.
        own: the run's own connection executes it.
        of_revision: a revision executes it, and not the run itself, which keeps its ledger.
        transaction: whose transaction it is in.
    """

    dialect: str
    text: str
    driver: Any
    own: bool = True
    of_revision: bool = True
    transaction: Transaction = Transaction.OPEN

    @cached_property
    def effects(self) -> "list[Effect]":
        """Returns what it does to what is stored; code that can't be read is `Opaque`, and never called safe."""
        from app.migrations.sql import effects

        if len(self.text) > MOST_CHARACTERS:
            return [effects.Opaque(f"SQL of more than {MOST_CHARACTERS:,} characters")]
        if self.dialect == "postgresql":
            from app.migrations.sql import postgresql

            found = postgresql.effects_of(self.text)
        else:
            from app.migrations.sql import sqlite

            found = sqlite.effects_of(self.text, self.driver)
        alter = type_changes.announced(self.text)
        if alter is None:
            return found
        judged = effects.DropColumn | effects.RenameColumn | effects.Opaque  # as the ALTER
        kept = [effect for effect in found if not isinstance(effect, judged)]
        from app.migrations.sql import postgresql

        whole = postgresql.effects_of(alter)
        if self.dialect == "sqlite":  # PostgreSQL's grammar would spell the type in its own way
            to = alter.rpartition(" TYPE ")[2].partition(" COLLATE ")[0]  # which no cast takes
            whole = [replace(effect, to=to) for effect in whole if isinstance(effect, effects.AlterType)]
        return [*whole, *kept]

    @cached_property
    def reads(self) -> bool:
        """Returns whether its first words are those of a question, a setting or the bounds of a transaction."""
        return not self._several and _READS.match(self._text) is not None

    @cached_property
    def repeatable(self) -> bool:
        """Returns whether it may be run a second time after it was done, or half done."""
        if MARKER in self.text or self.text.startswith(REPEATABLE) or self.reads:
            return True
        if self._several:
            return False
        slow = _UNHURRIED.match(self._text) and not _INDEX.match(self._text)
        if slow or _AS_OFTEN.match(self._text):
            return True
        return bool(_DEFINES.match(self._text) and _UNLESS_DONE.search(self._text))

    @cached_property
    def hurry(self) -> Hurry:
        """Returns its need of limits; a text with several statements may do anything."""
        if self._several:
            return Hurry.LOCK_AND_TIME
        if _UNHURRIED.match(self._text):
            return Hurry.NONE
        return Hurry.LOCK_AND_TIME if _DEFINES.match(self._text) else Hurry.LOCK_ONLY

    @cached_property
    def concurrent_index(self) -> tuple[str, str] | None:
        """Returns name and table of the index that it builds concurrently, as they are written."""
        match = _CONCURRENT_INDEX.match(self._text)
        return (match[1], match[2]) if match else None

    @cached_property
    def ends_savepoint(self) -> bool:
        """Returns whether it takes back what was done or set since a savepoint."""
        return self._text[:8].upper() == "ROLLBACK"

    @cached_property
    def takes_transaction(self) -> bool:
        """Returns whether it writes, and can do so in a transaction for it alone."""
        if self.reads or self._several or _WITHOUT_TRANSACTION.match(self._text):
            return False
        # SQLite can't commit before all rows were fetched.
        return self.dialect == "postgresql" or not _RETURNS.search(self._text)

    @cached_property
    def writes_one_row(self) -> bool:
        """Returns whether it keeps the ledger or Alembic's version; a row needs no limit of time."""
        return _ONE_ROW.match(self.text) is not None

    @cached_property
    def _text(self) -> str:
        comments = _LEADING_COMMENTS.match(self.text)
        return self.text[comments.end() :] if comments else self.text

    @cached_property
    def _several(self) -> bool:
        return _SEVERAL.search(self._text) is not None


def effects_of_trigger(body: str, name: str) -> "list[Effect]":
    """Returns the effects of the statements in a trigger function in PL/pgSQL, reached or not."""
    from app.migrations.sql import effects, postgresql

    if len(body) > MOST_CHARACTERS:
        return [effects.Opaque(f"function {name}")]
    return postgresql.effects_of_trigger(body, name)
