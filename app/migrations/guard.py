"""Guards, which watch a run of revisions, and the hook that hands them each statement."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy as sa

from app.migrations.session import Step
from app.migrations.sql import Statement


class Guard:
    """Watches a run; a guard overrides what concerns it."""

    def before(self, step: Step) -> None:
        """Hears that a step is about to run."""

    def statement(self, statement: Statement) -> None:
        """Hears of a statement that is about to be sent, on whatever connection of this thread.

        Raises:
            MigrationError: the statement must not run; the revision fails and is rolled back.
        """

    def after(self, step: Step) -> None:
        """Hears that a step has run and written its version; both can still be rolled back.

        Raises:
            MigrationError: what the step did must not stay.
        """

    def failed(self, error: BaseException) -> None:
        """Hears that the step at work, or what precedes the first one, has failed."""


class StatementHook:
    """Hands each statement of this thread to the guards before it is sent.

    Args:
        connection: what revisions run on.

    Attributes:
        guards: each hears of a statement in this order.
        step_at_work: statements are the revision's; else they are the run's own, such as the ledger's.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self.guards: Sequence[Guard] = ()
        self.step_at_work = False
        self._connection = connection

    def listening(self) -> AbstractContextManager[None]:
        """Listens for as long as the context lasts."""
        return hearing_statements(self._hear)

    def _hear(self, _connection: sa.Connection, cursor: Any, text: str) -> None:
        driver = cursor.connection
        own = driver is self._connection.connection.driver_connection
        if not own and not self.step_at_work:  # the lock's
            return
        statement = Statement(self._connection.dialect.name, text, driver, own=own, of_revision=self.step_at_work)
        for guard in self.guards:
            guard.statement(statement)


@contextmanager
def hearing_statements(hear: Callable[[sa.Connection, Any, str], None]) -> Iterator[None]:
    """Calls `hear` with connection, cursor and text of each statement of this thread, before it is sent."""
    thread = threading.get_ident()

    def before(connection: sa.Connection, cursor: Any, text: str, *_: object) -> None:
        if threading.get_ident() == thread:  # others look for blockers, or serve the application
            hear(connection, cursor, text)

    # On every engine: a revision may open one of its own.
    sa.event.listen(sa.Engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", before)
