"""Tasks on the secrets of one table, done in this process or by workers."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import sqlalchemy as sa

from app import db, server_session
from app.backfill import LEASE_ROWS, LEASE_SECONDS, Leases, Pace, Report, Table
from app.backfill.workers import Worker, change_leased_ranges, process_name, run_workers
from app.encryption import FieldCipher
from app.errors import SchemaError, database_errors_in_one_line
from app.secrets import changes
from app.secrets.inventory import ColumnInventory, blank_inventory, take_inventory
from app.secrets.key_check import check_keys
from app.secrets.plaintext import has_plaintext
from app.secrets.progress import Progress, log

if TYPE_CHECKING:
    from app.encryption import EncryptedColumn

Find = Callable[[], "Iterable[EncryptedColumn]"]
Stopped = Callable[[], bool]

LOCK_TIMEOUT = "2s"
# SQLite asks for a lock often at first and ten times a second later, which another busy writer can starve.
BUSY_MILLISECONDS = 300


class Action(StrEnum):
    """Change of stored values."""

    ENCRYPT = "encrypt"
    ROTATE = "rotate"


@dataclass(frozen=True)
class Task:
    """Work on columns of one table that share a cipher.

    It is pickled for workers, and so has no keys: each process reads its own settings.

    Attributes:
        find: lists the encrypted columns; a function of a module, which can be pickled.
        url: the database.
    """

    find: Find
    url: sa.URL
    table: str
    columns: tuple[str, ...]
    action: Action = Action.ENCRYPT
    pace: Pace = field(default_factory=Pace)
    lease_seconds: float = LEASE_SECONDS
    range_rows: int = LEASE_ROWS

    def cipher(self) -> FieldCipher:
        """Returns the cipher of the columns."""
        return next(c.cipher for c in self.find() if (c.table.name, c.column.name) == (self.table, self.columns[0]))

    @contextmanager
    def open_table(self, *, read_only: bool = False) -> Iterator[Table]:
        """Gives the table on a connection of its own, on which no statement waits long for a lock."""
        engine = db.migration_engine(self.url, read_only=read_only)
        with db.connect(engine).execution_options(isolation_level="AUTOCOMMIT") as connection:
            # A page that meets a lock is halved and tried again, so it need not wait long.
            pooled = server_session.is_pooled(connection)  # and then the server's session is not only ours
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
            elif not pooled:
                name = f"schema secrets {process_name()}"[:63]
                connection.execute(sa.text("SELECT set_config('application_name', :name, false)"), {"name": name})
                server_session.pin_session(connection)
                connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
            yield Table(connection, self.table, self.columns, lock_timeout=LOCK_TIMEOUT if pooled else None)

    def change(self, progress: Progress, stopped: Stopped, *, dry_run: bool) -> Report:
        """Changes the values in this process."""
        pace = replace(self.pace, stopped=stopped, on_wait=progress.wait)
        work = changes.encrypt if self.action is Action.ENCRYPT else changes.rotate
        with self.open_table(read_only=dry_run) as table:
            progress.begin(self.table, table.estimate())
            where = table.connection, self.table, self.columns, self.cipher()
            return work(*where, dry_run=dry_run, progress=progress.rows, pace=pace)

    def change_with_workers(self, count: int, progress: Progress, stopped: Stopped) -> Report:
        """Starts workers that change the values, together with those on other machines; raises if all have failed."""
        cipher = self.cipher()
        with self.open_table() as table:
            progress.begin(self.table, table.estimate())
            where = table.connection, self.table, self.columns, cipher
            # Before the first worker writes; encrypting nothing needs no key.
            if self.action is Action.ROTATE or has_plaintext(*where):
                check_keys(*where, writes=True, everywhere=True)
            leases = self._leases(table, cipher, process_name())
            leases.join()
            failures = run_workers(count, self.change_ranges, self.url, stopped=stopped, progress=progress.rows)
            job = leases.job()
        if job is not None and job.passes.over:
            for failure in failures:
                log.warning("a worker failed, and others did its work: %s", failure)
            return job.report
        if failures:
            raise failures[0]
        # The workers gave their ranges back: they were told to stop.
        report = job.report if job is not None else Report(self.table)
        report.stopped = True
        return report

    def change_ranges(self, worker: Worker) -> None:
        """Changes leased ranges in a worker."""
        with errors_in_one_line(), self.open_table() as table:
            cipher = self.cipher()
            change = changes.encryption if self.action is Action.ENCRYPT else changes.rotation
            leases = self._leases(table, cipher, worker.name)
            change_leased_ranges(worker, table, leases, change(self.table, cipher), replace(self.pace))

    def take_inventory(self, workers: int, progress: Progress, stopped: Stopped) -> list[ColumnInventory]:
        """Decrypts and counts all values, in this process or with several workers; raises if one has failed."""
        cipher = self.cipher()
        totals = blank_inventory(self.table, self.columns, cipher)

        def add(columns: list[ColumnInventory]) -> None:
            for total, column in zip(totals, columns, strict=True):
                total.add(column)

        with self.open_table(read_only=True) as table:
            progress.begin(self.table, table.estimate())
            key_range = table.key_range()
            if workers == 1 or key_range is None:
                return take_inventory(table, cipher, key_range, progress.rows, stopped)
            ranges = table.ranges(key_range, self.range_rows)
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
                worker.finish_range(take_inventory(table, cipher, key_range, worker.progress, worker.stopped))

    def _leases(self, table: Table, cipher: FieldCipher, owner: str) -> Leases:
        # Workers that do the same under the same key find each other by this name.
        writing = cipher.keyring.writing
        job = f"{self.action} {self.table} {','.join(self.columns)} {writing.id if writing else ''}".strip()

        def finished() -> bool:
            return not has_plaintext(table.connection, self.table, self.columns, cipher)

        query = finished if self.action is Action.ENCRYPT else None
        return Leases(table.connection.engine, table, job, owner, query, self.lease_seconds, self.range_rows)


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Raises errors of the database as one line that says how to go on."""
    with database_errors_in_one_line("What was written is kept; run the same command again."):
        try:
            yield
        except sa.exc.NoSuchTableError as error:
            raise SchemaError(
                f"There is no table {error} in this database. Run: alembic upgrade head, or choose another with "
                "--table."
            ) from None
