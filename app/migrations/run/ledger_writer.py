"""The guard that keeps the ledger: a row for each step before it begins, and its end."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.script import ScriptDirectory

from app.errors import Failure
from app.migrations.errors import LockNotObtained
from app.migrations.guard import Guard
from app.migrations.own_tables import LEDGER_TABLE
from app.migrations.project import BASE
from app.migrations.run import preflight
from app.migrations.run.ledger import Entry, Ledger, Outcome
from app.migrations.session import Step
from app.migrations.sql import Statement, Transaction

_LOST = (
    "This run has lost the migration lock, and another one has taken over. {} was stopped: its transaction is rolled "
    "back, and pages of a backfill are kept. See what the other has done, and run the same command again: schema status"
)


class LedgerWriter(Guard):
    """The rows of one run.

    Args:
        connection: the one that revisions run on.
        script: the history.
        root: the project's folder, whose commit the rows name.
        consented: gives the losses that were consented to in the step at work.

    Attributes:
        half_done: the step that failed had left its transaction with something that can't simply be run again.
        knows_of_failure: the failure could be written down.
    """

    def __init__(
        self, connection: sa.Connection, script: ScriptDirectory, root: Path, consented: Callable[[], str | None]
    ) -> None:
        self.half_done = False
        self.knows_of_failure = False
        self._connection = connection
        self._script = script
        self._consented = consented
        self._ledger = Ledger(connection, root)
        self._entry: int | None = None
        self._following: int | None = None
        self._next: list[Step] = []
        self._started = 0.0

    def entries(self) -> list[Entry]:
        """Returns the ledger as it is now."""
        return self._ledger.entries()

    def books(self) -> Ledger:
        """Returns the ledger."""
        return self._ledger

    def open(self, crashed: Callable[[Entry], None]) -> None:
        """Makes the table, and closes the rows of runs that ended without a word; the lock must be held.

        A run that isn't dead after all can commit nothing from then on, since its row is no longer `running`.

        Args:
            crashed: called with each such row.
        """
        self._ledger.create()
        for entry in self._ledger.close_crashed():
            crashed(entry)
        self._connection.commit()

    def begin(self, plan: list[Step]) -> None:
        """Begins a try of all the steps that are left."""
        self._entry = self._following = None
        self._next = plan

    def before(self, step: Step) -> None:
        """Commits the row of a step that is about to run."""
        self._next = self._next[1:]
        self.half_done = False
        self._entry, self._following = self._following, None
        if self._entry is None:
            self._entry = self._begin(step)
            self._connection.commit()
        self._started = time.monotonic()

    def statement(self, statement: Statement) -> None:
        """Makes sure that a statement outside the revision's transaction is still this run's to execute.

        Raises:
            LockNotObtained: another run has taken over.
        """
        if statement.transaction is Transaction.OPEN or statement.reads or self._entry is None:
            return
        until_the_end = " FOR SHARE" if statement.dialect == "postgresql" else ""
        running = f"SELECT 1 FROM {LEDGER_TABLE} WHERE id = {self._entry:d} AND outcome = '{Outcome.RUNNING}'"
        if statement.driver.execute(running + until_the_end).fetchone() is None:
            raise LockNotObtained(_LOST.format("The revision"))

    def after(self, step: Step) -> None:
        """Marks the step as applied, in its own transaction.

        Raises:
            LockNotObtained: another run has taken over.
        """
        assert self._entry is not None
        seconds = time.monotonic() - self._started
        if not self._ledger.finish(self._entry, Outcome.APPLIED, seconds, reason=self._consented()):
            raise LockNotObtained(_LOST.format(f"The revision {step.revision}"))
        # The next step's row is committed with this one: a commit less for each revision.
        self._following = self._begin(self._next[0]) if self._next else None

    def failed(self, error: BaseException) -> None:
        """Rolls back, and marks the step as failed if the connection still works."""
        self.knows_of_failure = False
        with suppress(sa.exc.SQLAlchemyError, sqlite3.Error):
            self._connection.rollback()
            begun = [entry for entry in (self._entry, self._following) if entry is not None]
            for entry in begun:
                self._ledger.finish(entry, Outcome.FAILED, time.monotonic() - self._started, Failure.of(error))
            entries = self._ledger.entries() if begun else []
            self.half_done = any(not entry.repeatable for entry in entries if entry.id in begun)
            self._connection.commit()
            self.knows_of_failure = True

    def mark_unrepeatable(self) -> None:
        """Writes at once, outside any transaction, that the step is about to do what no rollback undoes."""
        self.half_done = True  # what the ledger says after a failure wins, unless the connection is gone
        driver: Any = self._connection.connection.driver_connection
        driver.execute(f"UPDATE {LEDGER_TABLE} SET repeatable = false WHERE id = {self._entry:d}")

    def _begin(self, step: Step) -> int:
        is_base = step.revision == BASE
        checksum = None if is_base else preflight.checksum_of(self._script.get_revision(step.revision))
        return self._ledger.begin(step.revision, step.direction, checksum)
