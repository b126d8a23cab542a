"""What a revision would do, found out without doing it.

Its function runs on a connection of its own that only reads: the server enforces that, operations are noted instead of
carried out, and so is every statement that isn't a question. Questions go to the live database, so a revision that
looks first takes the branch it will really take. A revision that reaches around `op` isn't run at all.
"""

import contextlib
import io
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from app import db
from app.backfill import REHEARSAL
from app.migrations import operations, sql
from app.migrations.data_loss import around, copies
from app.migrations.session import Direction, Step
from app.migrations.sql import effects
from app.migrations.sql.effects import Effect, Kind

ANOTHER = "a connection of its own"
MOST_STATEMENTS = 2000
MOST_SECONDS = 5.0
STATEMENT_TIMEOUT = "2s"
LOCK_TIMEOUT = "500ms"


class _Enough(BaseException):
    """Ends a revision that goes on and on."""


@dataclass
class Rehearsal:
    """What a revision would do.

    Attributes:
        effects: in order.
        stopped: why it wasn't followed to its end; empty if it was.
        around: how it reaches around `op`, so that nothing can be seen; None if it doesn't.
    """

    effects: list[Effect] = field(default_factory=list)
    stopped: str = ""
    around: Effect | None = None


@contextmanager
def session(connection: sa.Connection) -> Iterator[sa.Connection]:
    """A connection to the same database that can only read, as far as the server can enforce it.

    Args:
        connection: the one that revisions will run on; in no transaction. A database in memory has no other.
    """
    if connection.dialect.name == "postgresql":
        with connection.engine.connect() as reading:
            settings = {
                "default_transaction_read_only": "on",
                "statement_timeout": STATEMENT_TIMEOUT,
                "lock_timeout": LOCK_TIMEOUT,
            }
            for name, value in settings.items():
                reading.execute(sa.text("SELECT set_config(:name, :value, false)"), {"name": name, "value": value})
            reading.commit()
            try:
                yield reading.execution_options(**{REHEARSAL: True})
            finally:
                reading.invalidate()  # its settings must not go back to a pool
        return
    connection.rollback()
    if db.sqlite_file(connection.engine.url) is None:  # in memory there is no other: what isn't sent isn't done
        try:
            yield connection.execution_options(**{REHEARSAL: True})
        finally:
            connection.rollback()
            connection.execution_options(**{REHEARSAL: False})
        return
    with connection.engine.connect() as reading:
        enforced = reading.exec_driver_sql("PRAGMA foreign_keys").scalar_one()
        reading.exec_driver_sql("PRAGMA query_only = ON")
        reading.exec_driver_sql("PRAGMA foreign_keys = OFF")  # as on the connection that revisions run on
        reading.rollback()
        try:
            yield reading.execution_options(**{REHEARSAL: True})
        finally:
            reading.rollback()
            reading.exec_driver_sql("PRAGMA query_only = OFF")
            reading.exec_driver_sql(f"PRAGMA foreign_keys = {enforced}")
            reading.rollback()


def rehearse(step: Step, connection: sa.Connection) -> Rehearsal:
    """Finds out what one step of a plan would do.

    Args:
        step: the revision.
        connection: one of `session`.
    """
    found = Rehearsal()
    module = step.module
    found.around = around.reaches_around(Path(module.__file__))
    if found.around:
        return found
    recorder = _Recorder(connection, found)
    context = MigrationContext.configure(
        connection, opts={"transactional_ddl": True, "transaction_per_migration": True}
    )
    try:
        with (
            recorder.recording(),
            contextlib.redirect_stdout(io.StringIO()),
            Operations.context(context),
            context.begin_transaction(_per_migration=True),
        ):
            (module.upgrade if step.direction is Direction.UPGRADE else module.downgrade)()
            connection.rollback()
    except _Enough as error:
        found.stopped = str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a revision raises when its statements have no results
        found.stopped = f"{type(error).__name__} at {recorder.place or 'its beginning'}"
    finally:
        connection.rollback()
    return found


def _still_connected(context: sa.engine.ExceptionContext) -> None:
    """SQLAlchemy closes a connection on which such an error was raised: its settings, or all that is in memory, go."""
    if isinstance(context.original_exception, _Enough):
        context.is_disconnect = False


class _Recorder:
    """Notes what would be done, instead of doing it."""

    def __init__(self, connection: sa.Connection, found: Rehearsal) -> None:
        self._connection = connection
        self._found = found
        self._count = 0
        self._deadline = time.monotonic() + MOST_SECONDS
        self._copied: set[str] = set()
        self.place = ""

    @contextmanager
    def recording(self) -> Iterator[None]:
        engine = self._connection.engine
        thread = threading.get_ident()

        def before(connection: sa.Connection, cursor: Any, *_: object) -> None:
            if threading.get_ident() == thread:
                self._before(connection, cursor)

        hooks: list[tuple[Any, str, Callable[..., Any]]] = [
            (sa.Engine, "before_cursor_execute", before),
            (engine, "handle_error", _still_connected),
            (engine, "do_execute", lambda cursor, statement, _parameters, _context: self._sent(cursor, statement)),
            (engine, "do_executemany", lambda cursor, statement, _parameters, _context: self._sent(cursor, statement)),
            (engine, "do_execute_no_params", lambda cursor, statement, _context: self._sent(cursor, statement)),
        ]
        for target, name, hook in hooks:
            sa.event.listen(target, name, hook)
        token = operations.observer.set(self._operation)
        try:
            yield
        finally:
            operations.observer.reset(token)
            for target, name, hook in hooks:
                sa.event.remove(target, name, hook)

    def _operation(self, context: Operations, operation: Any, carry_out: Callable[[], Any]) -> Any:
        self._another()
        for effect in effects.of_operation(operation, context.get_context().dialect):
            self._add(effect)
        if type(operation).__name__ in ("ExecuteSQLOp", "DialectTextOp"):
            return carry_out()
        if type(operation).__name__ == "CreateTableOp":
            return operation.to_table(context.get_context())
        return None

    def _before(self, connection: sa.Connection, cursor: Any) -> None:
        self._another()
        if connection is not self._connection and not self._is_ours(cursor):
            self._add(Effect(Kind.OPAQUE, ANOTHER))
            raise _Enough(ANOTHER)

    def _is_ours(self, cursor: Any) -> bool:
        return cursor.connection is self._connection.connection.driver_connection

    def _sent(self, cursor: Any, statement: str) -> bool:
        """Whether the statement counts as executed."""
        if not self._is_ours(cursor):  # somebody else's, in another thread
            return False
        dialect = self._connection.dialect.name
        for effect in sql.effects_of(dialect, statement, cursor.connection):
            self._add(effect)
        return not sql.reads(dialect, statement)

    def _add(self, effect: Effect) -> None:
        if self._connection.dialect.name == "sqlite":
            if copies.is_copy(effect):
                self._copied.add(copies.bare(effect).removeprefix(copies.PREFIX))
                return
            if effect.kind is Kind.DROP_TABLE and copies.bare(effect) in self._copied:
                return  # the second half of a table copy, which is looked at when it is made
        self._found.effects.append(replace(effect, where=self.place))
        if effect.kind is Kind.SET_PATH:  # nobody has carried it out, so questions would be about other tables
            raise _Enough(f"{effect.table}, after which a table may be another one")

    def _another(self) -> None:
        self.place = place(sys._getframe()) or self.place  # noqa: SLF001 - how to find the caller's line
        self._count += 1
        if self._count > MOST_STATEMENTS:
            raise _Enough(f"more than {MOST_STATEMENTS:,} statements")
        if time.monotonic() > self._deadline:
            raise _Enough(f"more than {MOST_SECONDS:g} seconds")


def place(frame: FrameType | None) -> str:
    """The line of a revision that is being run, `line 21`; empty outside of one."""
    while frame is not None:
        if Path(frame.f_code.co_filename).parent.name == "versions":
            return f"line {frame.f_lineno}"
        frame = frame.f_back
    return ""
