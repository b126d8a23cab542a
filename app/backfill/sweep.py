"""One sweep over a range of a table: read a page, change its values, write it, count the outcome."""

import gc
import operator
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from itertools import compress
from typing import Any

import sqlalchemy as sa

from app.backfill import write_postgresql, write_sqlite
from app.backfill.pacing import Pace
from app.backfill.patience import NAP_SECONDS, is_busy, is_locked
from app.backfill.report import Rejected, Report
from app.backfill.table import Column, KeyRange, Page, RowKey, Table, Undecodable, Values

Change = Callable[[Any], Any]
Write = Callable[[], set[RowKey]]
Prepared = tuple[Page, Write, float]  # rows to write, the function that writes them, the seconds that preparing took

_REFUSED = ("22", "23", "54", "P0")  # data exceptions, violated constraints, too large for an index, triggers


@dataclass(frozen=True)
class ByPage:
    """A change of a page's values at once: for each value the new one, None to leave it, or a `Rejected`."""

    change: Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True)
class ByRow:
    """A change of a page that looks at whole rows.

    It takes the values of each column, and returns as many for each: the new value, None to leave it, or a `Rejected`.
    A row is written only if no column of it changed meanwhile, one that is merely looked at included.
    """

    change: Callable[[Sequence[Column]], Sequence[Column]]


@dataclass
class Sweep:
    """Sweeps over ranges of a table; the arguments are those of `backfill`."""

    table: Table
    change: Change | ByPage | ByRow
    pace: Pace
    _: KW_ONLY
    with_nulls: bool = False
    dry_run: bool = False
    progress: Callable[[int], None] | None = None
    reached: RowKey | None = field(default=None, init=False)  # key of the last finished row

    def __post_init__(self) -> None:
        self._prepare_write = (write_postgresql if self.table.types else write_sqlite).writer(self.table)
        if not isinstance(self.change, ByRow):
            self._change_page = self.change.change if isinstance(self.change, ByPage) else _by_value(self.change)

    def run(self, key_range: KeyRange | None) -> Report:
        """Sweeps over a range, and returns the report of it."""
        self._report, self.reached = Report.blank(self.table.name, self.table.columns), None
        with garbage_frozen(), _background(self.table.connection) as in_background:
            started = time.monotonic()
            rows, remaining = self._read(key_range)
            page, write, _ = self._prepare(rows)
            while rows:
                next_rows, remaining = self._read(remaining)
                # While PostgreSQL writes this page, a thread prepares the next one.
                next_prepared = in_background(partial(self._prepare, next_rows))
                failed = self._write(page, write, time.monotonic() + self.pace.patience)
                next_page, next_write, seconds = next_prepared()
                for key, old, new in page.rows() if failed else ():
                    if key in failed:
                        self._uncount(key, old, new, failed[key])
                self.reached = rows[-1][: len(self.table.key)]
                self.pace.worked(0 if self.dry_run else len(page), len(next_rows), seconds)
                if self.progress is not None:
                    self.progress(self._report.rows - len(next_rows))
                if next_rows:
                    self.pace.rest(self.table.connection, time.monotonic() - started)
                started, rows, page, write = time.monotonic(), next_rows, next_page, next_write
        return self._report

    def _read(self, key_range: KeyRange | None) -> tuple[Sequence[Values], KeyRange | None]:
        """Reads the next page, and returns it with the rest of the range."""
        if key_range is None:
            return [], None
        if self.pace.stopped():
            self._report.stopped = True
            return [], None
        limit = self.pace.rows
        rows = (self.table.read_versions if self.table.types else self.table.read)(key_range, limit)
        self._report.rows += len(rows)
        if len(rows) < limit:
            return rows, None
        return rows, KeyRange(rows[-1][: len(self.table.key)], key_range.high)

    def _prepare(self, rows: Sequence[Values]) -> Prepared:
        """Changes the values of a page, and prepares the write of the rows that differ."""
        started = time.monotonic()
        width = len(self.table.key)
        first = width + bool(self.table.types)
        columns: list[Column] = [*zip(*rows, strict=True)] or [()] * (first + len(self.table.columns))
        keys, old = columns[:width], columns[first:]
        new = self._changed_rows(old, keys)
        page = Page(keys, old, new, columns[width] if self.table.types else ())
        differences = zip(*(map(operator.is_not, *pair) for pair in zip(old, new, strict=True)), strict=True)
        numbers = [*compress(range(len(rows)), map(any, differences))]
        if any(map(_has_undecodable, old)):
            numbers = [number for number in numbers if self._is_comparable(page.only([number]))]
        page = page.only(numbers)
        write = set if self.dry_run or not len(page) else self._prepare_write(page)
        return page, write, time.monotonic() - started

    def _changed_rows(self, old: Sequence[Column], keys: Sequence[Column]) -> list[Column]:
        """Returns the new values of all columns; unchanged values stay the same objects."""
        names = self.table.columns
        if not isinstance(self.change, ByRow):
            return [self._changed(values, name, keys) for name, values in zip(names, old, strict=True)]
        new = []
        for name, values, changes in zip(names, old, self.change.change(old), strict=True):
            numbers = [n for n, change in enumerate(changes) if change is not None or values[n] not in (None, "", b"")]
            self._report.columns[name].empty += len(values) - len(numbers)
            new.append(self._applied(values, name, keys, numbers, [changes[number] for number in numbers]))
        return new

    def _changed(self, values: Column, column: str, keys: Sequence[Column]) -> Column:
        """Returns the new values of a column; unchanged values stay the same objects."""
        tally = self._report.columns[column]
        numbers: Sequence[int] = range(len(values))
        are_texts = {*map(type, values)} == {str} and all(values)  # nearly every page, for which the loops run in C
        if not (are_texts or self.with_nulls):
            numbers = [n for n, value in enumerate(values) if value or (value is not None and value not in ("", b""))]
        tally.empty += len(values) - len(numbers)
        if not are_texts and _has_undecodable(values):
            for number in (n for n in numbers if isinstance(values[n], Undecodable)):
                self._reject(column, [key[number] for key in keys], "isn't UTF-8")
            numbers = [n for n in numbers if not isinstance(values[n], Undecodable)]
        changes = self._change_page(values if are_texts else [values[number] for number in numbers])
        if are_texts and {*map(type, changes)} == {str} and all(map(operator.ne, values, changes)):
            tally.changed += len(values)
            return changes
        return self._applied(values, column, keys, numbers, changes)

    def _applied(
        self, values: Column, column: str, keys: Sequence[Column], numbers: Sequence[int], changes: Sequence[Any]
    ) -> Column:
        """Returns the values with the changes of those with these numbers, and counts them."""
        tally = self._report.columns[column]
        new, changed = list(values), 0
        for number, value in zip(numbers, changes, strict=True):
            if isinstance(value, Rejected):
                self._reject(column, [key[number] for key in keys], str(value))
                tally.unchanged -= 1
            elif value is not None and value != values[number]:
                new[number] = value
                changed += 1
        tally.changed += changed
        tally.unchanged += len(numbers) - changed
        return new

    def _is_comparable(self, row: Page) -> bool:
        [(key, old, new)] = row.rows()
        if _has_undecodable(old):
            self._uncount(key, old, new, "another column of the row isn't UTF-8")
            return False
        return True

    def _uncount(self, key: RowKey, old: Values, new: Values, reason: str | None) -> None:
        """Corrects the report for a row that isn't written after all; without a reason, a later pass takes it."""
        self._report.conflicts += reason is None
        for name, was, is_now in zip(self.table.columns, old, new, strict=True):
            if was != is_now:
                self._report.columns[name].changed -= 1
                if reason is not None:
                    self._reject(name, key, reason)

    def _reject(self, column: str, key: Sequence[Any], reason: str) -> None:
        self._report.reject(column, self.table.shown(tuple(key)), reason)

    def _write(self, page: Page, write: Write, deadline: float) -> dict[RowKey, str | None]:
        """Writes a page, in halves if it meets a lock or a refused row.

        Returns the rows that were not written: why the database refuses them, None if another session changed them.
        The report is corrected later: a thread is using it.
        """
        if self.dry_run or not len(page):
            return {}
        if len(page) > 2 * self.pace.writes:  # read while there was little to write
            return self._write_halves(page, deadline)
        while True:
            started = time.monotonic()
            try:
                lost = write()
            except sa.exc.DBAPIError as error:
                reason = self._refusal(error, deadline)
                if len(page) > 1 and not is_busy(error):  # fewer rows wait as long for a whole database
                    return self._write_halves(page, deadline)
                if reason is not None:
                    return {key: reason for key, _, _ in page.rows()}
                self.pace.nap(NAP_SECONDS)
            else:
                self.pace.wrote(len(page), time.monotonic() - started)
                return dict.fromkeys(lost)

    def _write_halves(self, page: Page, deadline: float) -> dict[RowKey, str | None]:
        middle, failed = len(page) // 2, dict[RowKey, str | None]()
        for half in (page.only(range(middle)), page.only(range(middle, len(page)))):
            failed |= self._write(half, self._prepare_write(half), deadline)
        return failed

    def _refusal(self, error: sa.exc.DBAPIError, deadline: float) -> str | None:
        """Returns the reason if the database refuses a row; None for a lock that may be waited for; raises the rest."""
        locked = is_locked(error)
        if locked or is_busy(error):
            if time.monotonic() > deadline or self.pace.stopped():
                raise error
            if locked:
                self.pace.met_a_lock()
            return None
        state = getattr(error.orig, "sqlstate", None) or ""
        if not state.startswith(_REFUSED) and not isinstance(error, sa.exc.IntegrityError):
            raise error
        return f"the database refuses the new value ({state or type(error).__name__})"


@contextmanager
def garbage_frozen() -> Iterator[None]:
    """Hides the objects that exist already from the garbage collector.

    A page makes some ten thousand objects and so starts the collector. Its look at every module of the program took a
    third of a sweep.
    """
    frozen = not gc.get_freeze_count()  # otherwise the caller has frozen objects for good, for instance before a fork
    if frozen:
        gc.freeze()
    try:
        yield
    finally:
        if frozen:
            gc.unfreeze()


@contextmanager
def _background(connection: sa.Connection) -> Iterator[Callable[[Callable[[], Prepared]], Callable[[], Prepared]]]:
    """Runs functions in a thread on PostgreSQL; on SQLite, which works in this process, when the result is needed."""
    if connection.dialect.name != "postgresql":
        yield lambda function: function
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        yield lambda function: pool.submit(copy_context().run, function).result


def _has_undecodable(values: Sequence[Any]) -> bool:
    return Undecodable in {*map(type, values)}


def _by_value(change: Change) -> Callable[[Sequence[Any]], Sequence[Any]]:
    def change_value(value: Any) -> Any:
        try:
            return change(value)
        except Rejected as rejected:
            return rejected

    return lambda page: [change_value(value) for value in page]
