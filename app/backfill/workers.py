"""Worker processes that share a table: they change ranges that they lease, or read ranges that they are given.

The parent process listens to each on a pipe. A worker sends the number of rows that it has read, results, requests for
the next range, and the error that ended it.
"""

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from secrets import token_hex
from typing import Any

import sqlalchemy as sa

from app.backfill.durability import commits_at_end
from app.backfill.leases import LEASE_SECONDS, Job, Lease, Leases
from app.backfill.pacing import Pace
from app.backfill.sweep import ByPage, Sweep
from app.backfill.table import KeyRange, Table
from app.errors import SchemaError

_POLL_SECONDS = 0.3
_FIRST_POLL_SECONDS = 0.01  # the last ranges of other workers mostly end soon
_REPORT_SECONDS = 0.5
_NEXT_RANGE = "next range"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_requested(*, second_ends: bool = True) -> Iterator[Callable[[], bool]]:
    """Gives a function that returns whether SIGINT or SIGTERM came; a second one raises KeyboardInterrupt.

    Workers don't let the second one end them: a Ctrl-C reaches them from the terminal and from their parent.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to no other
        yield lambda: False
        return

    def receive(number: int, _frame: object) -> None:
        if received and second_ends:
            raise KeyboardInterrupt
        received.append(number)

    before = [(number, signal.signal(number, receive)) for number in _SIGNALS]
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def process_name() -> str:
    """Names this process among all that may be connected to the server."""
    return f"{socket.gethostname()} pid {os.getpid()}"


class Worker:
    """A worker process, as its own code sees it; no other worker has its name."""

    def __init__(self, channel: Connection, stop_requested: Callable[[], bool], parent: int) -> None:
        self._channel = channel
        self._stop_requested = stop_requested
        self._parent = parent
        self._rows = self._reported = 0
        self._reported_at = time.monotonic()
        self.name = f"{process_name()} {token_hex(4)}"

    def stopped(self) -> bool:
        """Returns whether the worker is to end: a signal came, or its parent has died."""
        return self._stop_requested() or os.getppid() != self._parent

    def progress(self, rows: int) -> None:
        """Takes the number of rows read in the current range, and reports it twice a second."""
        self._rows = rows
        if time.monotonic() >= self._reported_at + _REPORT_SECONDS:
            self._report()

    def finish_range(self, result: Any = None) -> None:
        """Reports the rows of the current range, and its result."""
        self._report()
        self._rows = self._reported = 0
        self._channel.send(result)

    def ranges(self) -> Iterator[KeyRange]:
        """Asks the parent for one range after the other, until there are no more or the worker is to end."""
        while not self.stopped():
            self._channel.send(_NEXT_RANGE)
            while not self._channel.poll(_POLL_SECONDS):
                if self.stopped():
                    return
            if (key_range := self._channel.recv()) is None:
                return
            yield key_range

    def _report(self) -> None:
        self._channel.send(self._rows - self._reported)
        self._reported, self._reported_at = self._rows, time.monotonic()


def change_leased_ranges(worker: Worker, table: Table, leases: Leases, change: ByPage, pace: Pace) -> None:
    """Leases ranges and changes them, until nothing is left or the worker is to end."""
    current: Lease | None = None
    renewed = 0.0

    def stopped() -> bool:
        nonlocal renewed
        # Whatever takes long, a page, a lock or a rest, asks this all the time.
        if current is not None and time.monotonic() >= renewed + LEASE_SECONDS / 3:
            renewed = time.monotonic()
            leases.renew(current)
        return worker.stopped()

    pace.stopped = stopped
    sweep = Sweep(table, change, pace, progress=worker.progress)
    with commits_at_end(table.connection), leases:
        poll = _FIRST_POLL_SECONDS
        while not worker.stopped():
            claimed = leases.claim()
            if isinstance(claimed, Job):
                return
            if claimed is None:
                pace.nap(poll)
                poll = min(2 * poll, _POLL_SECONDS)
                continue
            current, renewed, poll = claimed, time.monotonic(), _FIRST_POLL_SECONDS
            pace.begin_with(claimed.page_rows)
            report = sweep.run(claimed.key_range)
            current = None
            # This commit waits for the disk, and so for those of the range's pages.
            if report.stopped:
                leases.give_back(claimed, report, sweep.reached)
            else:
                leases.finish(claimed, report, pace.writes)
            worker.finish_range()


def run_workers(
    count: int,
    work: Callable[[Worker], None],
    url: sa.URL,
    *,
    stopped: Callable[[], bool],
    progress: Callable[[int], None],
    ranges: Iterator[KeyRange] | None = None,
    receive: Callable[[Any], None] = lambda _: None,
) -> list[SchemaError]:
    """Runs worker processes until all have ended, and returns the errors that ended some of them.

    Each runs `work`, which must be picklable, until it returns or `stopped` says so. `progress` gets the number of rows
    that all have read, `receive` each result. Workers that ask get `ranges`: if one fails, its range is lost, so the
    others end too.
    """
    rows, terminated, failures = 0, False, list[SchemaError]()
    with _started(count, work, url) as processes:
        for channel, message in _messages(processes):
            if isinstance(message, int):
                rows += message
                progress(rows)
            elif isinstance(message, SchemaError):
                failures.append(message)
            elif message == _NEXT_RANGE and ranges is not None:
                key_range = next(ranges, None)
                with suppress(OSError):  # if the worker has died, its channel says so next
                    channel.send(key_range)
            elif message is not None:
                receive(message)
            if not terminated and (stopped() or (ranges is not None and failures)):
                terminated = True
                for process in processes.values():
                    process.terminate()
    return failures


def _messages(processes: dict[Connection, Any]) -> Iterator[tuple[Any, Any]]:
    """Yields channels and messages, an error for a worker that was killed, and now and then nothing."""
    channels = [*processes]
    while channels:
        yield None, None
        for channel in wait(channels, _POLL_SECONDS):
            assert isinstance(channel, Connection)
            try:
                message = channel.recv()
            except (EOFError, OSError):
                channels.remove(channel)
                message = _death_of(processes[channel])
            yield channel, message


@contextmanager
def _started(count: int, work: Callable[[Worker], None], url: sa.URL) -> Iterator[dict[Connection, Any]]:
    """Starts worker processes and waits for them; after an error in the parent, none goes on."""
    context, processes = _context(url), dict[Connection, Any]()
    # During its imports, a signal would kill a worker.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_run, args=(work, theirs, os.getpid()), daemon=True)
            process.start()
            theirs.close()
            processes[ours] = process
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        yield processes
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.join()


def _context(url: sa.URL) -> Any:
    # A fork has imported everything already, which otherwise takes as long as a hundred thousand rows. But threads
    # don't survive it, macOS doesn't allow it, and SQLite must not be open in both processes.
    forks = sys.platform == "linux" and threading.active_count() == 1 and url.get_backend_name() != "sqlite"
    return multiprocessing.get_context("fork" if forks else "spawn")


def _run(work: Callable[[Worker], None], channel: Connection, parent: int) -> None:
    # Sending fails if the parent has died.
    with suppress(ConnectionError), stop_requested(second_ends=False) as stop:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)  # they were blocked during the start
        try:
            work(Worker(channel, stop, parent))
        except SchemaError as error:
            channel.send(error)


def _death_of(process: Any) -> SchemaError | None:
    process.join()
    if not (code := process.exitcode):
        return None
    how = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended with exit code {code}"
    return SchemaError(f"A worker {how}. Run the same command again.")
