"""Several processes at one table: each changes the stretches that it leases."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from secrets import token_hex
from typing import Any

import sqlalchemy as sa

from app import db
from app.backfill import Report
from app.backfill.leases import ROWS, SECONDS, Job, Lease, Leases
from app.backfill.sweep import Walk
from app.backfill.table import Rows
from app.errors import SchemaError
from app.secrets import changes, sealing
from app.secrets.progress import Counting, log
from app.secrets.sealing import Action, Find, Sealed, Throttle

_TELL_EVERY = 0.5
POLL = 0.3


@dataclass(frozen=True)
class Task:
    """What a worker is told: all of it can be pickled, and keys aren't in it; each process reads its own settings.

    Attributes:
        find: a function of a module that names the columns of secrets.
        url: the database, with its password.
        owner: the worker's name.
    """

    find: Find
    url: str
    table: str
    columns: tuple[str, ...]
    action: Action = Action.ENCRYPT
    throttle: Throttle = field(default_factory=Throttle)
    owner: str = ""
    seconds: float = SECONDS
    size: int = ROWS

    def sealed(self) -> Sealed:
        """The columns, with their cipher."""
        found = [c for c in self.find() if c.table.name == self.table and c.column.name in self.columns]
        return Sealed(self.table, self.columns, found[0].cipher)

    def leases(self, connection: sa.Connection, sealed: Sealed) -> tuple[Rows, Leases]:
        """The table, and its leases."""
        rows = Rows(connection, self.table, self.columns)

        def finished() -> bool:
            return not changes.has_plaintext(connection, self.table, self.columns, sealed.cipher)

        return rows, Leases(
            connection.engine,
            rows,
            sealed.job(self.action),
            self.owner,
            finished=finished if self.action is Action.ENCRYPT else None,
            seconds=self.seconds,
            size=self.size,
        )


def change(task: Task, count: int, counting: Counting, stopped: Callable[[], bool]) -> Report:
    """Has some processes do the work, joins whoever is at it elsewhere, and returns what all of them did.

    Raises:
        SchemaError: it can't be done, or all workers died.
        KeyConfigurationError: a key is missing or wrong; nothing was written.
    """
    sealed = task.sealed()
    with sealing.session(db.migration_engine(task.url)) as connection:
        if task.action is Action.ROTATE or changes.has_plaintext(connection, task.table, task.columns, sealed.cipher):
            changes.check_keys(connection, task.table, task.columns, sealed.cipher, writes=True, everywhere=True)
        _, leases = task.leases(connection, sealed)
        leases.join()
        failures = _Crew(task, count).work(counting, stopped)
        job = leases.look()
    if job is not None and job.over:
        for failure in failures:
            log.warning("a worker failed, and others did its work: %s", failure)
        return job.report
    if failures:
        raise failures[0]
    report = job.report if job is not None else Report(task.table)
    report.stopped = True
    return report


class _Crew:
    """The processes."""

    def __init__(self, task: Task, count: int) -> None:
        context = context_for(task.url)
        self._seen: dict[Connection, int] = {}
        self._processes = []
        with held_back():
            for _ in range(count):
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=work, args=(task, theirs), daemon=True)
                process.start()
                theirs.close()
                self._seen[ours] = 0
                self._processes.append(process)

    def work(self, counting: Counting, stopped: Callable[[], bool]) -> list[SchemaError]:
        """Waits until all have ended; gives what went wrong."""
        failures: list[SchemaError] = []
        open_, told = list(self._seen), False
        while open_:
            for channel in wait_for(open_, timeout=POLL):
                assert isinstance(channel, Connection)
                try:
                    message = channel.recv()
                except (EOFError, OSError):
                    open_.remove(channel)
                    continue
                if isinstance(message, SchemaError):
                    failures.append(message)
                else:
                    self._seen[channel] += message
                    counting.rows(sum(self._seen.values()))
            if stopped() and not told:
                told = True
                for process in self._processes:
                    with suppress(OSError):
                        process.terminate()
        for process in self._processes:
            process.join()
            if code := process.exitcode:
                how = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended with exit code {code}"
                failures.append(SchemaError(f"A worker {how}. Run the same command again."))
        return failures


def context_for(url: str) -> Any:
    """How processes are started.

    A fork has everything imported already, which else takes as long as a hundred thousand rows; but threads don't
    survive it, macOS doesn't allow it, and SQLite must not be open in both processes.
    """
    forks = sys.platform == "linux" and threading.active_count() == 1 and not url.startswith("sqlite")
    return multiprocessing.get_context("fork" if forks else "spawn")


@contextmanager
def held_back() -> Iterator[None]:
    """Processes that are started here hear of no signal before they ask: one that still imports would die of it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, sealing.SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work(task: Task, channel: Connection) -> None:
    """One worker: leases stretches and changes them, until nothing is left or it is told to stop."""
    parent = os.getppid()
    with sealing.told_to_stop(at_once=False) as told:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, sealing.SIGNALS)
        try:
            with sealing.one_line():
                own = replace(task, owner=f"{sealing.who()} {token_hex(4)}")
                _work(own, channel, lambda: told() or os.getppid() != parent)  # nobody would hear of an orphan
        except SchemaError as error:
            channel.send(error)
        except KeyboardInterrupt:
            pass


def _work(task: Task, channel: Connection, stopped: Callable[[], bool]) -> None:
    sealed = task.sealed()
    with sealing.session(db.migration_engine(task.url)) as connection:
        rows, leases = task.leases(connection, sealed)
        at_work: list[_Teller] = []

        def asked() -> bool:
            for teller in at_work:
                teller.keep()  # whoever waits, for a lock or for the server, asks all the time
            return stopped()

        pace = task.throttle.pace(asked, lambda _: None)
        change_ = sealed.change(task.action)
        while not stopped():
            claimed = leases.claim()
            if isinstance(claimed, Job):
                return
            if claimed is None:
                pace.nap(POLL)
                continue
            teller = _Teller(channel, leases, claimed)
            at_work[:] = [teller]
            walk = Walk(rows, change_, pace, progress=teller.rows)
            report = walk.through(claimed.span)
            at_work.clear()
            if report.stopped:
                leases.give_back(claimed, report, walk.reached)
            else:
                leases.finish(claimed, report)
                teller.tell()


class _Teller:
    """Says now and then how far a stretch is, and that its lease is still wanted."""

    def __init__(self, channel: Connection, leases: Leases, lease: Lease) -> None:
        self._channel, self._leases, self._lease = channel, leases, lease
        self._seen = self._told = 0
        self._last = self._kept = time.monotonic()

    def rows(self, seen: int) -> None:
        self._seen = seen
        self.keep()
        now = time.monotonic()
        if now >= self._last + _TELL_EVERY:
            self._last = now
            self.tell()

    def keep(self) -> None:
        if time.monotonic() >= self._kept + self._leases.seconds / 3:
            self._kept = time.monotonic()
            self._leases.keep(self._lease)

    def tell(self) -> None:
        self._channel.send(self._seen - self._told)
        self._told = self._seen
