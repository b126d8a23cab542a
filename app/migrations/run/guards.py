"""The one place where control returns from SQLAlchemy: statements, handed to the guards of a run."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app.migrations.sql import Statement, Transaction

if TYPE_CHECKING:
    from app.migrations.guard import Guard


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

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listens for as long as the context lasts."""
        thread = threading.get_ident()

        def before(_connection: object, cursor: Any, text: str, *_: object) -> None:
            if threading.get_ident() == thread:  # others look for blockers, or serve the application
                self._hear(cursor.connection, text)

        def after(_connection: object, cursor: Any, *_: object) -> None:
            if threading.get_ident() != thread:
                return
            if self._begun:
                self._begun = False
                cursor.connection.execute("COMMIT")
            self.kept |= self._keeps

        def failed(_context: object) -> None:
            if self._begun and threading.get_ident() == thread:
                self._roll_back()

        # On every engine: a revision may open one of its own.
        listeners: dict[str, Callable[..., None]] = {
            "before_cursor_execute": before,
            "after_cursor_execute": after,
            "handle_error": failed,
        }
        for event, listener in listeners.items():
            sa.event.listen(sa.Engine, event, listener)
        try:
            yield
        finally:
            for event, listener in listeners.items():
                sa.event.remove(sa.Engine, event, listener)

    def _hear(self, driver: Any, text: str) -> None:
        own = driver is self._connection.connection.driver_connection
        if not own and not self.step_at_work:  # the lock's
            return
        self._keeps = False
        dialect = self._connection.dialect.name
        transaction = Transaction.OPEN
        if own and self.step_at_work and self._is_outside(driver):
            alone = Statement(dialect, text, driver).takes_transaction
            transaction = Transaction.OWN if alone else Transaction.NONE
        if transaction is Transaction.OWN:
            self._begin(driver, text)
        statement = Statement(dialect, text, driver, own=own, of_revision=self.step_at_work, transaction=transaction)
        try:
            for guard in self.guards:
                guard.statement(statement)
        except BaseException:
            if self._begun:
                self._roll_back()
            raise
        self._keeps = transaction is not Transaction.OPEN and not statement.reads

    def _is_outside(self, driver: Any) -> bool:
        if self._connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            return False
        idle = driver.info.transaction_status == 0 if self._connection.dialect.name == "postgresql" else None
        return idle if idle is not None else not driver.in_transaction

    def _begin(self, driver: Any, text: str) -> None:
        try:
            driver.execute("BEGIN" if self._connection.dialect.name == "postgresql" else "BEGIN IMMEDIATE")
        except self._connection.dialect.loaded_dbapi.Error as error:
            # As if the statement itself had met it: callers wait for a lock, and try again.
            raise sa.exc.OperationalError(text, None, error, hide_parameters=True) from None
        self._begun = True

    def _roll_back(self) -> None:
        self._begun = False
        driver: Any = self._connection.connection.driver_connection
        with suppress(self._connection.dialect.loaded_dbapi.Error):  # the connection is gone, and its transaction too
            driver.execute("ROLLBACK")
