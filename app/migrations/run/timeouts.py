"""What the statements of a revision may cost others, and whether they may be run again.

A statement that waits for a table's lock holds up everybody who comes after it, and one that has the lock holds them up
while it runs. So on PostgreSQL every statement has a `lock_timeout`, and those that block others a `statement_timeout`
as well; concurrent index builds and validations, which block nobody, have neither. A revision may declare others:

    timeouts = {"lock": 10, "statement": 0}     # seconds; 0 is no limit

Outside a transaction (`autocommit_block()`) what ran has happened. Statements that can simply be run again are known
here; before any other runs there, the ledger is told, and a failure then wants somebody's word on what became of it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.migrations.sql import Hurry, Statement

_INVALID_INDEX = """
SELECT x.indexrelid::regclass::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE NOT x.indisvalid AND i.relname = (parse_ident(%s))[1] AND x.indrelid = to_regclass(%s)
"""
_MOST_SECONDS = 2_147_483


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

    def of(self, statement: Statement) -> "Timeouts":
        """Returns those of a statement."""
        if statement.hurry is Hurry.NONE:
            return Timeouts(0, 0)
        return self if statement.hurry is Hurry.LOCK_AND_TIME else Timeouts(self.lock, 0)


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST_SECONDS


def _milliseconds(seconds: float) -> int:
    """As PostgreSQL wants them: 0 is no limit, so the shortest is 1, and its longest is that of 32 bits."""
    return min(max(round(seconds * 1000), 1 if seconds else 0), _MOST_SECONDS * 1000)


class StatementWatch:
    """Sets timeouts on a migration connection before each of its statements, and notes what can't be repeated.

    An index that a concurrent build left when it was killed, which nobody uses and IF NOT EXISTS takes for a whole one,
    is dropped before it is built again.

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
        sa.event.listen(self._connection, "rollback_savepoint", self._forget)
        sa.event.listen(self._connection, "before_cursor_execute", self._before)
        try:
            yield
        finally:
            sa.event.remove(self._connection, "before_cursor_execute", self._before)
            sa.event.remove(self._connection, "rollback_savepoint", self._forget)
            sa.event.remove(self._connection, "begin", self._forget)
            if self._set_for_session and not self._connection.invalidated:
                self._connection.exec_driver_sql("RESET lock_timeout")
                self._connection.exec_driver_sql("RESET statement_timeout")
                self._connection.commit()

    def start(self, timeouts: Timeouts, *, repeatable: bool) -> None:
        """To be called before each revision, and after it for what isn't a revision's."""
        self._timeouts = timeouts
        self._noted = repeatable

    def _before(self, connection: sa.Connection, cursor: Any, text: str, *_: object) -> None:
        if self._timeouts is None:
            return
        statement = Statement(connection.dialect.name, text, cursor.connection)
        autocommit = connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
        if autocommit and not self._noted and not statement.repeatable:
            self._noted = True
            self._unrepeatable()
        if connection.dialect.name != "postgresql" or self._will_do(statement):
            return
        self._set(cursor, self._timeouts.of(statement), autocommit=autocommit)
        if autocommit and statement.concurrent_index:
            _drop_invalid(cursor.connection, *statement.concurrent_index)
        if statement.ends_savepoint:
            self._in_force = None

    def _will_do(self, statement: Statement) -> bool:
        """Whether the timeouts in force are as good as others: asking for those costs a question to the server."""
        same_lock = self._in_force and self._timeouts and self._in_force[0].lock == self._timeouts.lock
        return bool(same_lock) and statement.writes_one_row

    def _forget(self, *_: object) -> None:
        self._in_force = None  # a setting made in a transaction ended with it, and one made after a savepoint

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


def _drop_invalid(driver: Any, index: str, table: str) -> None:
    for (name,) in driver.execute(_INVALID_INDEX, (index, table)).fetchall():
        driver.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
