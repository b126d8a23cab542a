"""What the statements of a revision may cost others, and whether they may be run again.

A statement that waits for a table's lock holds up everybody who comes after it, and one that has the lock holds them up
while it runs. So on PostgreSQL every statement has a `lock_timeout`, and those that block others a `statement_timeout`
as well; concurrent index builds and validations, which block nobody, have neither. A revision may declare others:

    timeouts = {"lock": 10, "statement": 0}     # seconds; 0 is no limit

Outside a transaction (`autocommit_block()`) what ran has happened. Statements that can simply be run again are known
here; before any other runs there, the ledger is told, and a failure then wants somebody's word on what became of it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.backfill import MARKER

# These take locks that let everybody else read and write, for as long as they like.
_UNHURRIED = re.compile(
    r"\s*(CREATE\s+(UNIQUE\s+)?INDEX\s+CONCURRENTLY|DROP\s+INDEX\s+CONCURRENTLY|REINDEX\b.*\bCONCURRENTLY|VACUUM(?!\s+FULL)"
    r"|ANALYZE|ALTER\s+TABLE\s+.*\bVALIDATE\s+CONSTRAINT)",
    re.IGNORECASE | re.DOTALL,
)
_INDEX = re.compile(r"\s*(CREATE|DROP)\b", re.IGNORECASE)
_DEFINES = re.compile(
    r"\s*(CREATE|ALTER|DROP|TRUNCATE|LOCK|COMMENT|GRANT|REVOKE|REINDEX|CLUSTER|VACUUM|REFRESH)\b", re.IGNORECASE
)
_READS = re.compile(
    r"\s*(SELECT|SHOW|SET|RESET|EXPLAIN|PRAGMA|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)\b", re.IGNORECASE
)
_MOST_SECONDS = 2_147_483
_UNLESS_DONE = re.compile(r"\bIF\s+(NOT\s+)?EXISTS\b", re.IGNORECASE)


@dataclass(frozen=True)
class Timeouts:
    """The longest that a statement may wait for a lock, and run, in seconds; 0 is no limit."""

    lock: float
    statement: float

    def declared_by(self, revision: Any) -> "Timeouts":
        """These, or what the revision's module declares as `timeouts`.

        Raises:
            ValueError: it declares something else than `lock` and `statement` in seconds.
        """
        declared: Any = getattr(revision, "timeouts", {})
        known = isinstance(declared, Mapping) and set(declared) <= {"lock", "statement"}
        if not known or not all(_is_seconds(value) for value in declared.values()):
            raise ValueError('timeouts must look like {"lock": 10, "statement": 0}, in seconds')
        return Timeouts(declared.get("lock", self.lock), declared.get("statement", self.statement))

    def of(self, statement: str) -> "Timeouts":
        """Those of one statement."""
        if _UNHURRIED.match(statement):
            return Timeouts(0, 0)
        return self if _DEFINES.match(statement) else Timeouts(self.lock, 0)


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST_SECONDS


def _milliseconds(seconds: float) -> int:
    """As PostgreSQL wants them: 0 is no limit, so the shortest is 1, and its longest is that of 32 bits."""
    return min(max(round(seconds * 1000), 1 if seconds else 0), _MOST_SECONDS * 1000)


def can_run_again(statement: str) -> bool:
    """Whether a statement may be run a second time after it was done, or half done."""
    return bool(
        _READS.match(statement)
        or (_UNHURRIED.match(statement) and not _INDEX.match(statement))
        or MARKER in statement
        or (_DEFINES.match(statement) and _UNLESS_DONE.search(statement))
    )


class StatementWatch:
    """Sets timeouts on a migration connection before each of its statements, and notes what can't be repeated.

    Args:
        connection: the connection that revisions run on.
        unrepeatable: called before the first statement outside a transaction that can't simply be run again.
    """

    def __init__(self, connection: sa.Connection, unrepeatable: Callable[[], None]) -> None:
        self._connection = connection
        self._unrepeatable = unrepeatable
        self._timeouts: Timeouts | None = None
        self._in_force: tuple[Timeouts, bool] | None = None
        self._noted = False
        self._set_for_session = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches for as long as the context lasts; the connection's own timeouts are in force again afterwards."""
        sa.event.listen(self._connection, "begin", self._forget)
        sa.event.listen(self._connection, "before_cursor_execute", self._before)
        try:
            yield
        finally:
            sa.event.remove(self._connection, "before_cursor_execute", self._before)
            sa.event.remove(self._connection, "begin", self._forget)
            if self._set_for_session and not self._connection.invalidated:
                self._connection.exec_driver_sql("RESET lock_timeout")
                self._connection.exec_driver_sql("RESET statement_timeout")
                self._connection.commit()

    def start(self, timeouts: Timeouts, *, repeatable: bool) -> None:
        """To be called before each revision, and after it for what isn't a revision's."""
        self._timeouts = timeouts
        self._in_force = None
        self._noted = repeatable

    def _before(self, connection: sa.Connection, cursor: Any, statement: str, *_: object) -> None:
        if self._timeouts is None:
            return
        autocommit = connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
        if autocommit and not self._noted and not can_run_again(statement):
            self._noted = True
            self._unrepeatable()
        if connection.dialect.name == "postgresql":
            self._set(cursor, self._timeouts.of(statement), autocommit=autocommit)

    def _forget(self, _connection: sa.Connection) -> None:
        self._in_force = None  # a setting made in a transaction ended with it

    def _set(self, cursor: Any, timeouts: Timeouts, *, autocommit: bool) -> None:
        if self._in_force == (timeouts, autocommit):
            return
        scope = "false" if autocommit else "true"  # outside a transaction only the session can be set
        self._set_for_session |= autocommit
        driver = cursor.connection
        driver.execute(
            f"SELECT set_config('lock_timeout', '{_milliseconds(timeouts.lock)}', {scope}), "
            f"set_config('statement_timeout', '{_milliseconds(timeouts.statement)}', {scope})"
        )
        self._in_force = (timeouts, autocommit)
