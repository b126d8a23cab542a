"""One walk through a table: page after page is read, changed here, and written, with what became of it counted."""

import gc
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import sqlalchemy as sa

from app.pacing import Pace
from app.pages import Key, Page, Rows, Span, Undecodable, Values
from app.writers import writer

KEPT_REJECTIONS = 20

Change = Callable[[Any], Any]

_LOCKS = {"55P03", "40P01", "57014", "40001"}  # lock not available, deadlock, statement timeout, serialization
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_OF_VALUES = ("22", "23", "P0")  # data exceptions, violated constraints, and what triggers raise


@dataclass(frozen=True)
class ByPage:
    """A change of a page's values at once: gives for each the new one, None to leave it, or a `Rejected`."""

    change: Callable[[Sequence[Any]], Sequence[Any]]


class Rejected(Exception):  # noqa: N818 - a verdict on a value, caught by the engine
    """Raised by a change that can't make sense of a value: the row is left alone and reported by its key."""


@dataclass
class Tally:
    """What became of the values of one column."""

    empty: int = 0
    unchanged: int = 0
    changed: int = 0
    rejected: int = 0

    def add(self, other: "Tally") -> None:
        """Adds what became of other values."""
        self.empty += other.empty
        self.unchanged += other.unchanged
        self.changed += other.changed
        self.rejected += other.rejected


@dataclass
class Report:
    """What a backfill did; with `dry_run`, what it would have done.

    Attributes:
        rows: rows in the table.
        columns: a tally for each column; `unchanged` counts values that needed nothing.
        rejections: column, key and reason of the first values that were left alone.
        conflicts: how often somebody else changed a row between read and write; such rows were met again.
        stopped: it was told to end before it was through.
    """

    table: str
    rows: int = 0
    columns: dict[str, Tally] = field(default_factory=dict)
    rejections: list[tuple[str, Any, str]] = field(default_factory=list)
    conflicts: int = 0
    stopped: bool = False

    @property
    def rejected(self) -> int:
        """How many values were left alone because the change made no sense of them."""
        return sum(tally.rejected for tally in self.columns.values())

    @property
    def changed(self) -> int:
        """How many values were changed."""
        return sum(tally.changed for tally in self.columns.values())

    def reject(self, column: str, key: Any, reason: str) -> None:
        """Counts a value that was left alone, and keeps its key if it is one of the first."""
        self.columns[column].rejected += 1
        if len(self.rejections) < KEPT_REJECTIONS:
            self.rejections.append((column, key, reason))

    def add(self, other: "Report") -> None:
        """Adds what was done in another stretch of the same table."""
        self.rows += other.rows
        self.conflicts += other.conflicts
        self.stopped |= other.stopped
        self.rejections += other.rejections[: KEPT_REJECTIONS - len(self.rejections)]
        for name, tally in other.columns.items():
            self.columns[name].add(tally)


def blank(table: str, columns: Sequence[str]) -> Report:
    """A report of nothing yet."""
    return Report(table, columns={name: Tally() for name in columns})


class Walk:
    """One walk through stretches of a table.

    Args:
        rows: the table.
        change: see `backfill`, as for the rest.
        pace: its size of a page is what is learnt on the way.
        dry_run: writes nothing.
        progress: called after each page.
    """

    def __init__(
        self,
        rows: Rows,
        change: Change | ByPage,
        pace: Pace,
        *,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._rows = rows
        self._write_page = writer(rows)
        self._may_be_undecodable = rows.connection.dialect.name == "sqlite"
        self._change = change.change if isinstance(change, ByPage) else _each(change)
        self._pace = pace
        self._dry_run = dry_run
        self._progress = progress
        self._report = blank(rows.table, rows.columns)
        self._refused: list[tuple[Page, sa.exc.DBAPIError]] = []

    def through(self, span: Span | None) -> Report:
        """Walks through a stretch, and returns what was done in it."""
        self._report = blank(self._rows.table, self._rows.columns)
        seen = 0
        # While PostgreSQL writes a page, the next one is changed here. SQLite works in this very process.
        beside = ThreadPoolExecutor(1) if self._rows.connection.dialect.name == "postgresql" else _AtOnce()
        with _collector_at_rest(), beside as aside:
            started = time.monotonic()
            found, rest = self._next(span)
            page = self._judged(found)
            while found:
                following, rest = self._next(rest)
                writing = aside.submit(self._write, page, time.monotonic() + self._pace.patience)
                next_page = self._judged(following)
                self._settle(page, writing.result())
                seen += len(found)
                if self._progress is not None:
                    self._progress(seen)
                if following:
                    self._pace.rest(self._rows.connection, time.monotonic() - started)
                started, found, page = time.monotonic(), following, next_page
        return self._report

    def _next(self, span: Span | None) -> tuple[Sequence[Values], Span | None]:
        """The next page, and what is left of the stretch after it."""
        if span is None:
            return [], None
        if self._pace.stopped():
            self._report.stopped = True
            return [], None
        asked = self._pace.rows
        found = self._rows.read(span, asked)
        self._report.rows += len(found)
        if len(found) < asked:
            return found, None
        return found, Span(found[-1][: len(self._rows.key)], span.high)

    def _judged(self, found: Sequence[Values]) -> Page:
        width = len(self._rows.key)
        keys = [row[:width] for row in found]
        old = [row[width:] for row in found]
        columns = [
            self._changed(list(values), name, keys)
            for name, values in zip(self._rows.columns, zip(*old, strict=True), strict=False)
        ]
        new = list(zip(*columns, strict=True))
        changed = [number for number, values in enumerate(new) if values != old[number]]
        if self._may_be_undecodable:
            changed = [number for number in changed if self._can_be_compared(keys[number], old[number], new[number])]
        if len(changed) == len(found):
            return Page(keys, old, new)
        return Page(*([values[number] for number in changed] for values in (keys, old, new)))

    def _changed(self, values: list[Any], column: str, keys: Sequence[Key]) -> list[Any]:
        tally = self._report.columns[column]
        numbers = [number for number, value in enumerate(values) if value is not None and value not in ("", b"")]
        tally.empty += len(values) - len(numbers)
        if self._may_be_undecodable:
            numbers = [number for number in numbers if self._is_decoded(values[number], column, keys[number])]
        changed = 0
        for number, new in zip(numbers, self._change([values[number] for number in numbers]), strict=True):
            if isinstance(new, Rejected):
                self._report.reject(column, self._rows.named(keys[number]), str(new))
                tally.unchanged -= 1
            elif new is not None and new != values[number]:
                values[number] = new
                changed += 1
        tally.changed += changed
        tally.unchanged += len(numbers) - changed
        return values

    def _is_decoded(self, value: Any, column: str, key: Key) -> bool:
        if isinstance(value, Undecodable):
            self._report.reject(column, self._rows.named(key), "isn't UTF-8")
        return not isinstance(value, Undecodable)

    def _can_be_compared(self, key: Key, old: Values, new: Values) -> bool:
        bad = any(isinstance(value, Undecodable) for value in old)
        if bad:
            for name in self._uncount(old, new):
                self._report.reject(name, self._rows.named(key), "another column of the row isn't UTF-8")
        return not bad

    def _write(self, page: Page, deadline: float) -> set[Key]:
        """Writes a page, in halves where it meets a lock or a row that is refused; gives the keys that were written."""
        if self._dry_run or not len(page):
            return set(page.keys)
        started = time.monotonic()
        try:
            written = self._write_page(page)
        except sa.exc.DBAPIError as error:
            if not (locked := _met_a_lock(error)) and not _refuses(error):
                raise
            if locked:
                self._pace.met_a_lock()
                if time.monotonic() > deadline or self._pace.stopped():
                    raise
            if len(page) > 1:
                first, second = page.halves()
                return self._write(first, deadline) | self._write(second, deadline)
            if locked:
                self._pace.nap(0.05)
                return self._write(page, deadline)
            self._refused.append((page, error))  # told later: the report is at work in another thread
            return set(page.keys)
        self._pace.wrote(len(page), time.monotonic() - started)
        return written

    def _settle(self, page: Page, written: set[Key]) -> None:
        """Takes back from the report what wasn't written after all."""
        for refused, error in self._refused:
            reason = getattr(error.orig, "sqlstate", None) or type(error).__name__
            for name in self._uncount(refused.old[0], refused.new[0]):
                key = self._rows.named(refused.keys[0])
                self._report.reject(name, key, f"the database refuses the new value ({reason})")
        self._refused.clear()
        if len(written) == len(page):
            return
        for key, old, new in zip(page.keys, page.old, page.new, strict=True):
            if key not in written:
                self._report.conflicts += 1
                self._uncount(old, new)

    def _uncount(self, old: Values, new: Values) -> list[str]:
        names = [name for name, was, is_now in zip(self._rows.columns, old, new, strict=True) if was != is_now]
        for name in names:
            self._report.columns[name].changed -= 1
        return names


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Keeps Python's collector from what was there before.

    Each page makes some ten thousand objects, which sets it off; looking through all modules of a program every time
    took a third of a walk, and in between a transaction stood open.
    """
    ours = not gc.get_freeze_count()  # else somebody has frozen what is there for good, before a fork for instance
    if ours:
        gc.freeze()
    try:
        yield
    finally:
        if ours:
            gc.unfreeze()


class _AtOnce:
    """Runs what is submitted there and then."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left to wait for."""

    def submit(self, function: Callable[..., set[Key]], *args: Any) -> "Future[set[Key]]":
        done: Future[set[Key]] = Future()
        done.set_result(function(*args))
        return done


def _each(change: Change) -> Callable[[Sequence[Any]], Sequence[Any]]:
    def one(value: Any) -> Any:
        try:
            return change(value)
        except Rejected as verdict:
            return verdict

    return lambda page: [one(value) for value in page]


def _met_a_lock(error: sa.exc.DBAPIError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return getattr(error.orig, "sqlstate", None) in _LOCKS or code in _BUSY


def _refuses(error: sa.exc.DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None) or ""
    return state[:2] in _OF_VALUES or isinstance(error, sa.exc.IntegrityError)
