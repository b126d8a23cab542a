"""The one place where control returns from SQLAlchemy: statements, handed to the guards of a run."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app.migrations.sql import Statement

if TYPE_CHECKING:
    from app.migrations.guard import Guard


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

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listens for as long as the context lasts."""
        thread = threading.get_ident()

        def before(_connection: object, cursor: Any, text: str, *_: object) -> None:
            if threading.get_ident() == thread:  # others look for blockers, or serve the application
                self._hear(cursor.connection, text)

        # On every engine: a revision may open one of its own.
        sa.event.listen(sa.Engine, "before_cursor_execute", before)
        try:
            yield
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", before)

    def _hear(self, driver: Any, text: str) -> None:
        own = driver is self._connection.connection.driver_connection
        if not own and not self.step_at_work:  # the lock's
            return
        statement = Statement(self._connection.dialect.name, text, driver, own=own, of_revision=self.step_at_work)
        for guard in self.guards:
            guard.statement(statement)
