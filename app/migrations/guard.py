"""Guards, which watch a run of revisions, and the hook that hands them each statement."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import sqlalchemy as sa

from app import server_session
from app.migrations.session import Step
from app.migrations.sql import Statement, Transaction


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

    def committed(self, step: Step) -> None:
        """Hears that a step is done: its transaction has been committed."""

    def failed(self, error: BaseException) -> None:
        """Hears that the step at work, or what precedes the first one, has failed."""


class StatementHook:
    """Hands each statement of this thread to the guards before it is sent.

    A statement that a revision sends outside of a transaction gets one of its own, wherever the database allows it.
    What a guard sets or proves there goes with the statement.

    Args:
        connection: what revisions run on.

    Attributes:
        guards: each hears of a statement in this order.
        step_at_work: statements are the revision's; else they are the run's own, such as the ledger's.
        kept: the step at work has changed something outside its transaction, which stays whatever happens.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self.guards: Sequence[Guard] = ()
        self.step_at_work = False
        self.kept = False
        self._connection = connection
        self._begun = False
        self._keeps = False

    def listening(self) -> AbstractContextManager[None]:
        """Listens for as long as the context lasts."""
        return hearing_statements(self._hear, self._executed, self._roll_back)

    def _hear(self, _connection: sa.Connection, cursor: Any, text: str) -> None:
        driver = cursor.connection
        own = driver is self._connection.connection.driver_connection
        if not own and not self.step_at_work:  # the lock's
            return
        self._keeps = False
        dialect, transaction = self._connection.dialect.name, Transaction.OPEN
        if own and self.step_at_work and self._is_outside(driver):
            alone = Statement(dialect, text, driver).takes_transaction
            transaction = Transaction.OWN if alone else Transaction.NONE
        if transaction is Transaction.OWN:
            self._begin(driver, text)
        statement = Statement(dialect, text, driver, own=own, of_revision=self.step_at_work, transaction=transaction)
        try:
            for guard in self.guards:
                guard.statement(statement)
        except self._connection.dialect.loaded_dbapi.Error as error:
            self._roll_back()
            # As if the statement itself had met it: callers wait for a lock, and try again.
            raise server_session.as_of_sqlalchemy(self._connection, text, error) from None
        except BaseException:
            self._roll_back()
            raise
        self._keeps = transaction is not Transaction.OPEN and not statement.reads

    def _is_outside(self, driver: Any) -> bool:
        if self._connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            return False
        if self._connection.dialect.name == "sqlite":
            return not driver.in_transaction
        return bool(driver.info.transaction_status == 0)  # IDLE

    def _begin(self, driver: Any, text: str) -> None:
        try:
            driver.execute("BEGIN" if self._connection.dialect.name == "postgresql" else "BEGIN IMMEDIATE")
        except self._connection.dialect.loaded_dbapi.Error as error:
            # As if the statement itself had met it: callers wait for a lock, and try again.
            raise server_session.as_of_sqlalchemy(self._connection, text, error) from None
        self._begun = True

    def _executed(self) -> None:
        if self._begun:
            self._begun = False
            self._driver.execute("COMMIT")
        self.kept |= self._keeps

    def _roll_back(self) -> None:
        if self._begun:
            self._begun = False
            with suppress(self._connection.dialect.loaded_dbapi.Error):  # the connection is gone, and with it all
                self._driver.execute("ROLLBACK")

    @property
    def _driver(self) -> Any:
        return self._connection.connection.driver_connection


def _nothing() -> None: ...


@contextmanager
def hearing_statements(
    hear: Callable[[sa.Connection, Any, str], None],
    done: Callable[[], None] = _nothing,
    failed: Callable[[], None] = _nothing,
) -> Iterator[None]:
    """Calls functions for each statement of this thread.

    Args:
        hear: called with connection, cursor and text before the statement is sent.
        done: called when it has been executed.
        failed: called when it hasn't, or what `done` did has failed.
    """
    thread = threading.get_ident()

    def before(connection: sa.Connection, cursor: Any, text: str, *_: object) -> None:
        if threading.get_ident() == thread:  # others look for blockers, or serve the application
            hear(connection, cursor, text)

    def after(*_: object) -> None:
        if threading.get_ident() == thread:
            done()

    def error(*_: object) -> None:
        if threading.get_ident() == thread:
            failed()

    # On every engine: a revision may open one of its own.
    listeners: dict[str, Callable[..., None]] = {"before_cursor_execute": before}
    listeners |= {"after_cursor_execute": after, "handle_error": error}
    for event, listener in listeners.items():
        sa.event.listen(sa.Engine, event, listener)
    try:
        yield
    finally:
        for event, listener in listeners.items():
            sa.event.remove(sa.Engine, event, listener)
