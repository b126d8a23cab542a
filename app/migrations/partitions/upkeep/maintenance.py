"""Plans and results of `schema partitions maintain`."""

import datetime as dt
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config

from app.errors import SchemaError
from app.migrations import run
from app.migrations.errors import LockNotObtained
from app.migrations.limits import TableInUse
from app.migrations.partitions.transactions import oldest_transaction
from app.migrations.project import Project
from app.partitions import Declared


class Action(StrEnum):
    """The action of one step."""

    CREATE = "create"
    KEEP = "keep"  # takes back a retirement that had begun, after `keep` was raised
    DROP = "drop"
    DELETE = "delete"  # rows of a table that isn't partitioned


@dataclass(frozen=True)
class Step:
    """One step, planned or done.

    Attributes:
        subject: the name of the partition; of rows that are deleted the table's.
        low: the first moment of its rows, UTC; None is from the beginning.
        high: the first moment after them; None is without end.
        rows: of the plan about how many, of what was done how many; None if that is unknown.
        bytes: those of the partition with its indexes.
        children: rows of other tables that went with them, by table.
        archive: the file that has the rows.
        sha256: the checksum of that file.
    """

    table: str
    action: Action
    subject: str
    reason: str
    low: dt.datetime | None = None
    high: dt.datetime | None = None
    rows: int | None = None
    bytes: int | None = None
    children: dict[str, int] = field(default_factory=dict)
    archive: str | None = None
    sha256: str | None = None
    seconds: float = 0

    def __str__(self) -> str:
        return f"{self.action} {self.subject}: {self.reason}"


@dataclass(frozen=True)
class Failure:
    """A table whose upkeep didn't come to its end."""

    table: str
    message: str
    is_locked: bool


@dataclass(frozen=True)
class Options:
    """Wishes of the operator.

    Attributes:
        archive: the folder that rows of partitions are written to before they are dropped.
        accept_empty: everything in a table may go.
        lock_timeout: the longest wait for another migration, in seconds; else the project's limit.
        now: the moment, naive and UTC; None is the server's clock.
    """

    archive: Path | None = None
    accept_empty: bool = False
    lock_timeout: float | None = None
    now: dt.datetime | None = None


@dataclass
class Maintenance:
    """The result of `maintain`.

    Attributes:
        database: its URL for people.
        done: false for a dry run, whose steps are planned ones.
        steps: in order.
        notes: what was left alone, and why, a line each.
        failures: the tables that failed; the others are done.
    """

    database: str
    done: bool
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Returns 0, or 6 if only the lock was in the way, or 1."""
        if not self.failures:
            return 0
        is_locked = all(failure.is_locked for failure in self.failures)
        return LockNotObtained.exit_code if is_locked else SchemaError.exit_code

    def note(self, line: str) -> None:
        """Adds a note, once."""
        if line not in self.notes:
            self.notes.append(line)


@dataclass(frozen=True)
class Upkeep:
    """The upkeep of one table.

    Attributes:
        project: whose table.
        engine: the database.
        declared: the table.
        options: the operator's.
        result: gets steps and notes.
    """

    project: Project
    engine: sa.Engine
    declared: Declared
    options: Options
    result: Maintenance

    def writing(self) -> AbstractContextManager[tuple[Config, sa.Engine]]:
        """Holds the migration lock."""
        return run.writing(self.project, self.engine, self.options.lock_timeout)

    def failed(self, error: SchemaError) -> None:
        """Adds a failure; names the session that is likely to have kept a lock, if that was the reason."""
        text = str(error)
        if isinstance(error, TableInUse):
            oldest = None
            with suppress(SchemaError, sa.exc.SQLAlchemyError), run.reading(self.project, self.engine) as connection:
                oldest = oldest_transaction(connection)
            text += f". The oldest transaction that uses a table: {oldest}" if oldest is not None else ""
            text += ". The next run goes on"
        elif "database is locked" in text:  # SQLite's words
            text += ". Another process has it open in a long transaction. The next run goes on"
        is_locked = isinstance(error, LockNotObtained)
        self.result.failures.append(Failure(self.declared.table, text, is_locked))
