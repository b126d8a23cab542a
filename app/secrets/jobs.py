"""The commands of `schema secrets`, as functions that a program can call; progress goes to the logger.

A command is a task for each table, done in this process or by workers.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from app.backfill import LEASE_ROWS, Leases, Pace, Report, Table
from app.backfill.workers import Worker, change_leased_ranges, process_name, run_workers, stop_requested
from app.encryption import FieldCipher
from app.errors import SettingsError
from app.secrets import changes, inventory, key_check
from app.secrets.changes import Action
from app.secrets.connections import KEPT, errors_in_one_line, open_table, require_database
from app.secrets.hashes import Hashing
from app.secrets.inventory import ColumnInventory
from app.secrets.key_check import KeySample
from app.secrets.progress import Progress, log

if TYPE_CHECKING:
    from app.encryption import EncryptedColumn

__all__ = [
    "Action",
    "ColumnInventory",
    "Hashing",
    "Options",
    "Progress",
    "Task",
    "change",
    "check_keys",
    "take_inventory",
]

Find = Callable[[], "Iterable[EncryptedColumn]"]
Stopped = Callable[[], bool]

MOST_LEASE_ROWS = 200_000
_RANGES = 4


@dataclass(frozen=True)
class Options:
    """Selects encrypted columns, and says how to work on them.

    Attributes:
        find: lists the encrypted columns; a function of a module, which workers pickle.
        table: selects the columns of one table.
        column: selects the columns of this name.
        workers: number of processes; None works in this one.
    """

    find: Find
    database_url: Callable[[], sa.URL]
    table: str | None = None
    column: str | None = None
    workers: int | None = None
    pace: Pace = field(default_factory=Pace)
    progress: Progress = field(default_factory=Progress)

    def tasks(self, action: Action = Action.ENCRYPT) -> list["Task"]:
        """Returns a task for each table and cipher that is selected.

        Raises:
            SettingsError: no encrypted column is selected.
            SchemaError: there is no database.
        """
        columns = list(self.find())
        groups: dict[tuple[str, int], list[str]] = {}
        for c in columns:
            if self.table in (None, c.table.name) and self.column in (None, c.column.name):
                groups.setdefault((c.table.name, id(c.cipher)), []).append(c.column.name)
        if not groups:
            names = ", ".join(f"{c.table.name}.{c.column.name}" for c in columns)
            raise SettingsError(f"There is no such column of secrets. There are: {names}.")
        url = require_database(self.database_url())
        return [Task(self.find, url, table, tuple(names), action, self.pace) for (table, _), names in groups.items()]


@dataclass(frozen=True)
class Task:
    """Work on columns of one table that share a cipher.

    It is pickled for workers, and so has no keys: each process reads its own settings.
    """

    find: Find
    url: sa.URL
    table: str
    columns: tuple[str, ...]
    action: Action = Action.ENCRYPT
    pace: Pace = field(default_factory=Pace)
    range_rows: int | None = None  # by the size of the table

    def cipher(self) -> FieldCipher:
        """Returns the cipher of the columns."""
        return next(c.cipher for c in self.find() if (c.table.name, c.column.name) == (self.table, self.columns[0]))

    def open_table(self, *, read_only: bool = False) -> AbstractContextManager[Table]:
        """Gives the table on a connection of its own, on which no statement waits long for a lock."""
        return open_table(self.url, self.table, self.columns, process=process_name(), read_only=read_only)

    def change(self, progress: Progress, stopped: Stopped, *, dry_run: bool) -> Report:
        """Changes the values in this process."""
        pace = replace(self.pace, stopped=stopped, on_wait=progress.wait)
        with self._errors_in_one_line(pace), self.open_table(read_only=dry_run) as table:
            progress.begin(self.table, table.estimate())
            work = self._work(table.connection, self.cipher())
            return changes.encrypt(*work, dry_run=dry_run, progress=progress.rows, pace=pace)

    def change_with_workers(self, count: int, progress: Progress, stopped: Stopped) -> Report:
        """Starts workers that change the values, together with those on other machines; raises if all have failed."""
        cipher = self.cipher()
        with self._errors_in_one_line(self.pace), self.open_table() as table:
            rows = table.estimate()
            progress.begin(self.table, rows)
            changes.require_keys(*self._work(table.connection, cipher))  # before the first worker writes
            leases = self._leases(table, cipher, process_name())
            leases.join()
            task = replace(self, range_rows=self._rows_of_range(rows, count))
            failures = run_workers(count, task.change_ranges, self.url, stopped=stopped, progress=progress.rows)
            job = leases.job()
        if job.passes.over:
            for failure in failures:
                log.warning("a worker failed, and others did its work: %s", failure)
        elif failures:
            raise failures[0]
        else:  # the workers gave their ranges back: they were told to stop
            job.report.stopped = True
        return job.report

    def change_ranges(self, worker: Worker) -> None:
        """Changes leased ranges in a worker."""
        pace = replace(self.pace)
        with self._errors_in_one_line(pace), self.open_table() as table:
            cipher = self.cipher()
            change = changes.encryption(self.table, cipher, self.action)
            change_leased_ranges(worker, table, self._leases(table, cipher, worker.name), change, pace)

    def take_inventory(self, workers: int, progress: Progress, stopped: Stopped) -> list[ColumnInventory]:
        """Decrypts and counts all values, in this process or with several workers; raises if one has failed."""
        cipher = self.cipher()
        totals = inventory.blank_inventory(self.table, self.columns, cipher)

        def add(columns: list[ColumnInventory]) -> None:
            for total, column in zip(totals, columns, strict=True):
                total.add(column)

        with self.open_table(read_only=True) as table:
            estimate = table.estimate()
            progress.begin(self.table, estimate)
            key_range = table.key_range()
            if workers == 1 or key_range is None:
                return inventory.take_inventory(table, cipher, key_range, progress.rows, stopped)
            range_rows = self._rows_of_range(estimate, workers)
            ranges = table.ranges(key_range, lambda: range_rows)
            work, url, rows = self.count_ranges, self.url, progress.rows
            failures = run_workers(workers, work, url, stopped=stopped, progress=rows, ranges=ranges, receive=add)
        if failures:
            raise failures[0]
        return totals

    def count_ranges(self, worker: Worker) -> None:
        """Decrypts and counts the values of ranges in a worker."""
        with errors_in_one_line(), self.open_table(read_only=True) as table:
            cipher = self.cipher()
            for key_range in worker.ranges():
                counts = inventory.take_inventory(table, cipher, key_range, worker.progress, worker.stopped)
                worker.finish_range(counts)

    def _rows_of_range(self, rows: int, workers: int) -> int:
        """Returns the size of a range: several for each worker, and none so small that starting it takes its time."""
        return self.range_rows or min(max(rows // (_RANGES * workers), LEASE_ROWS), MOST_LEASE_ROWS)

    def _errors_in_one_line(self, pace: Pace) -> AbstractContextManager[None]:
        nothing = f"Nothing was written to {self.table}."
        return errors_in_one_line(lambda: KEPT if pace.longest else nothing)

    def _leases(self, table: Table, cipher: FieldCipher, owner: str) -> Leases:
        # Workers that do the same under the same key find each other by this name.
        writing = cipher.keyring.writing
        job = f"{self.action} {self.table} {','.join(self.columns)} {writing.id if writing else ''}".strip()
        finished = changes.finished(*self._work(table.connection, cipher))
        return Leases(table.connection.engine, table, job, owner, finished, size=self.range_rows or LEASE_ROWS)

    def _work(
        self, connection: sa.Connection, cipher: FieldCipher
    ) -> tuple[sa.Connection, str, tuple[str, ...], FieldCipher, Action]:
        return connection, self.table, self.columns, cipher, self.action


def change(action: Action, options: Options, *, dry_run: bool = False) -> list[Report]:
    """Encrypts plaintext, or encrypts again what is under a previous key, table by table.

    Ctrl-C and SIGTERM end the job after the current page.

    Raises:
        SchemaError: a key is missing or wrong, no column is selected, or the database refuses a statement.
    """
    reports: list[Report] = []
    with _running(options) as stopped:
        tasks = options.tasks(action)
        workers = None if dry_run else options.workers  # leases would be written
        if workers is not None and tasks[0].url.get_backend_name() == "sqlite":
            if workers > 1:
                log.info("SQLite has one writer at a time: one worker does it.")
            workers = None
        for task in tasks:
            if workers is None:
                reports.append(task.change(options.progress, stopped, dry_run=dry_run))
            else:
                reports.append(task.change_with_workers(workers, options.progress, stopped))
            if reports[-1].stopped:
                break
    return reports


def take_inventory(options: Options) -> tuple[list[ColumnInventory], bool]:
    """Decrypts and counts every secret, and writes nothing.

    Returns:
        An inventory of each column, and whether a signal ended the job early.

    Raises:
        SchemaError: a setting isn't a key, no column is selected, or the database can't be read.
    """
    columns: list[ColumnInventory] = []
    with _running(options) as stopped:
        for task in options.tasks():
            columns += task.take_inventory(options.workers or 1, options.progress, stopped)
        return columns, stopped()


def check_keys(options: Options) -> list[KeySample]:
    """Checks that the keys open what is stored, by a few values, and that there are keys to write with.

    Returns:
        A sample of each column.

    Raises:
        SchemaError: they open none of it, a key is missing, or the database can't be read.
    """
    samples: list[KeySample] = []
    with errors_in_one_line():
        for task in options.tasks():
            with task.open_table(read_only=True) as table:
                work = table.connection, task.table, task.columns, task.cipher()
                samples += key_check.check_keys(*work, writes=True)
    return samples


@contextmanager
def _running(options: Options) -> Iterator[Stopped]:
    with errors_in_one_line(), closing(options.progress), stop_requested() as stopped:
        yield stopped
