"""Time-outs of a revision's statements on PostgreSQL, and statements that can't be run again.

A statement that waits for a table's lock holds up everybody who comes after it, and one that has the lock holds them up
while it runs. So every statement has a `lock_timeout`, and those that block others a `statement_timeout` as well;
concurrent index builds and validations, which block nobody, have neither. A revision may declare others:

    timeouts = {"lock": 10, "statement": 0}     # seconds; 0 is no limit

Outside a transaction (`autocommit_block()`) a statement that ran has happened. Before one runs there that can't simply
be run again, the ledger is told, and a failure then waits for the operator's word: `schema resolve`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app import server_session
from app.migrations.errors import ConfigurationError
from app.migrations.guard import Guard
from app.migrations.project import Limits
from app.migrations.session import Step
from app.migrations.sql import Hurry, Statement, Transaction

_INVALID_INDEX = """
SELECT x.indexrelid::regclass::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE NOT x.indisvalid AND i.relname = (parse_ident(%s))[1] AND x.indrelid = to_regclass(%s)
"""
_MOST_SECONDS = 2_147_483  # PostgreSQL keeps milliseconds in 32 bits


@dataclass(frozen=True)
class Timeouts:
    """The longest that a statement may wait for a lock, and run, in seconds; 0 is no limit."""

    lock: float
    statement: float

    def declared_by(self, step: Step) -> "Timeouts":
        """Returns these, or what the revision declares as `timeouts`.

        Raises:
            ConfigurationError: it declares something else than `lock` and `statement` in seconds.
        """
        declared: Any = getattr(step.module, "timeouts", {})
        known = isinstance(declared, Mapping) and set(declared) <= {"lock", "statement"}
        if not known or not all(_is_seconds(value) for value in declared.values()):
            raise ConfigurationError(
                f'The revision {step.revision}: timeouts must look like {{"lock": 10, "statement": 0}}, in seconds.'
            )
        return Timeouts(declared.get("lock", self.lock), declared.get("statement", self.statement))

    def of(self, statement: Statement) -> "Timeouts":
        """Returns those of one statement."""
        match statement.hurry:
            case Hurry.NONE:
                return Timeouts(0, 0)
            case Hurry.LOCK_ONLY:
                return Timeouts(self.lock, 0)
        return self


class TimeoutGuard(Guard):
    """Sets time-outs before each statement, and hears of the first that can't be run again.

    An index that a killed concurrent build left INVALID is dropped before it is built again: nobody uses it, and IF NOT
    EXISTS takes it for a whole one.

    Args:
        connection: what revisions run on.
        limits: for revisions that declare no time-outs.
        unrepeatable: called before the first statement outside a transaction that can't simply be run again.
    """

    def __init__(self, connection: sa.Connection, limits: Limits, unrepeatable: Callable[[], None]) -> None:
        self._connection = connection
        self._default = self._declared = Timeouts(limits.table_lock, limits.statement)
        self._unrepeatable = unrepeatable
        self._noted = True
        self._wrote = False
        self._in_force: tuple[Timeouts, bool] | None = None
        self._set_for_session = False

    @contextmanager
    def restored_at_the_end(self) -> Iterator[None]:
        """Puts the connection's own time-outs in force again when the context ends."""
        try:
            yield
        finally:
            if self._set_for_session and not self._connection.invalidated:
                self._connection.exec_driver_sql("RESET lock_timeout; RESET statement_timeout")
                self._connection.commit()

    def before(self, step: Step) -> None:
        """Takes what the revision declares; the ledger's rows, before and after it, wait no longer than that either."""
        self._declared = self._default.declared_by(step)
        self._noted, self._wrote = bool(getattr(step.module, "repeatable", False)), False

    def committed(self, step: Step) -> None:
        """Goes back to the run's own."""
        del step
        self._declared = self._default

    def failed(self, error: BaseException) -> None:
        """Goes back to the run's own."""
        del error
        self._declared = self._default

    def statement(self, statement: Statement) -> None:
        """Sets the statement's time-outs, unless they are in force."""
        if not statement.own:
            return
        driver, timeouts = statement.driver, self._declared
        outside = statement.transaction is Transaction.NONE
        shared = outside and server_session.is_pooled(self._connection)
        may_run = not shared or statement.reads or timeouts.of(statement) == Timeouts(0, 0)
        if statement.of_revision and not self._noted:
            self._note(statement, may_run=may_run)
        if not may_run:
            raise ConfigurationError(
                "This connection leads through a pooler, where a statement outside of a transaction can have no limits "
                "of time: set DATABASE_URL to the URL of the server itself, and run it again."
            )
        if statement.dialect != "postgresql":
            return
        begins = not driver.autocommit and driver.info.transaction_status == 0  # IDLE
        if begins or statement.transaction is Transaction.OWN:
            self._in_force = None  # what was set in the last transaction ended with it
        # Each change costs a round trip, and a row needs no limit of time.
        same_lock = self._in_force is not None and self._in_force[0].lock == timeouts.lock
        if not shared and not (same_lock and statement.writes_one_row):
            self._set(driver, timeouts.of(statement), outside=outside)
        if outside and statement.concurrent_index:
            index, table = statement.concurrent_index
            for (name,) in driver.execute(_INVALID_INDEX, (index, table)).fetchall():
                driver.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        if statement.ends_savepoint:
            self._in_force = None  # what was set after the savepoint ends with it

    def _note(self, statement: Statement, *, may_run: bool) -> None:
        """Tells the ledger before something stays that can't be run again, even if the revision fails later."""
        inside = statement.transaction is Transaction.OPEN
        # Leaving the transaction has committed what the revision did in it.
        if not inside and (self._wrote or (may_run and not statement.repeatable)):
            self._noted = True
            self._unrepeatable()
        self._wrote = self._wrote or (inside and not statement.repeatable)

    def _set(self, driver: Any, timeouts: Timeouts, *, outside: bool) -> None:
        if self._in_force == (timeouts, outside):
            return
        scope = "false" if outside else "true"  # outside a transaction only the session can be set
        self._set_for_session |= outside
        driver.execute(
            f"SELECT set_config('lock_timeout', '{_milliseconds(timeouts.lock)}', {scope}), "
            f"set_config('statement_timeout', '{_milliseconds(timeouts.statement)}', {scope})"
        )
        self._in_force = (timeouts, outside)


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST_SECONDS


def _milliseconds(seconds: float) -> int:
    """Returns what PostgreSQL takes: 0 is no limit, so the shortest is 1."""
    return min(max(round(seconds * 1000), 1 if seconds else 0), _MOST_SECONDS * 1000)
