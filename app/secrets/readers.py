"""Several processes that decrypt a table: each counts the stretches that it is given."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from multiprocessing.synchronize import Event

import sqlalchemy as sa

from app import db
from app.backfill.table import Rows, Span
from app.errors import SchemaError
from app.secrets import inventory, sealing
from app.secrets.inventory import Census
from app.secrets.progress import Counting
from app.secrets.workers import POLL, Task, context_for, held_back


def count(
    engine: sa.Engine, task: Task, processes: int, counting: Counting, stopped: Callable[[], bool]
) -> list[Census]:
    """Looks at every value of a table's secrets, with as many processes."""
    sealed = task.sealed()
    with sealing.session(engine) as connection:
        rows = Rows(connection, task.table, task.columns)
        span = rows.span()
        if processes < 2 or span is None:  # noqa: PLR2004 - one is this one
            return inventory.take(rows, sealed.cipher, span, counting.rows, stopped)
        totals = inventory.blank(task.table, task.columns, sealed.cipher)
        context = context_for(task.url)
        ending = context.Event()
        with ProcessPoolExecutor(processes, context, initializer=_listen, initargs=(ending, os.getpid())) as pool:
            running: set[Future[list[Census]]] = set()
            try:
                for stretch in _stretches(rows, span, task.size):
                    with held_back():
                        running.add(pool.submit(_count, task, stretch))
                    while len(running) > 2 * processes and not stopped():
                        running = _added(totals, running, counting)
                    if stopped():
                        ending.set()
                        break
                while running:
                    running = _added(totals, running, counting)
                    if stopped():
                        ending.set()
            except BrokenExecutor:
                raise SchemaError("A worker was killed. Run the same command again.") from None
            finally:
                ending.set()  # whatever went wrong, nobody goes on for nothing
    return totals


def _stretches(rows: Rows, span: Span, size: int) -> Iterator[Span]:
    low = span.low
    while low != span.high:
        high = rows.cut(Span(low, span.high), size)
        yield Span(low, high)
        low = high


_ending: list[Event] = []


def _listen(ending: Event, parent: int) -> None:
    """Has a process that only reads end when it is told so by the one that started it, or with that one."""
    _ending[:] = [ending]
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    for number in sealing.SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _count(task: Task, span: Span) -> list[Census]:
    with sealing.session(db.migration_engine(task.url, read_only=True)) as connection:
        rows = Rows(connection, task.table, task.columns)
        return inventory.take(rows, task.sealed().cipher, span, stopped=_ending[0].is_set)


def _added(totals: list[Census], running: set[Future[list[Census]]], counting: Counting) -> set[Future[list[Census]]]:
    """Adds what has come in, waiting a moment for it, and gives what hasn't."""
    done, left = wait(running, POLL, FIRST_COMPLETED)
    for future in done:
        for total, found in zip(totals, future.result(), strict=True):
            total.add(found)
        counting.rows(totals[0].rows)
    return left
