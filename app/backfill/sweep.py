"""One walk through a table: page after page is read, changed here, and written, with what became of it counted."""

import operator
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from app.backfill.asides import beside, collector_at_rest
from app.backfill.pacing import Pace
from app.backfill.table import Column, Key, Page, Rows, Span, Undecodable, Values
from app.backfill.writers import writer

KEPT_REJECTIONS = 20

Change = Callable[[Any], Any]
Write = Callable[[], set[Key]]

_LOCKS = {"55P03", "40P01", "57014", "40001"}  # lock not available, deadlock, statement timeout, serialization
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_OF_VALUES = ("22", "23", "54", "P0")  # data exceptions, violated constraints, too much for an index, triggers


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

    Attributes:
        reached: the key of the last row that is done with.
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
        self._ready = writer(rows)
        self._change = change.change if isinstance(change, ByPage) else _each(change)
        self._pace = pace
        self._dry_run = dry_run
        self._progress = progress
        self._report = blank(rows.table, rows.columns)
        self._refused: list[tuple[Page, sa.exc.DBAPIError]] = []
        self.reached: Key | None = None
        self._making = 0.0  # seconds that the last page took to be judged

    def through(self, span: Span | None) -> Report:
        """Walks through a stretch, and returns what was done in it."""
        self._report = blank(self._rows.table, self._rows.columns)
        seen = 0
        with collector_at_rest(), beside(self._rows.connection) as submit:
            started = time.monotonic()
            found, rest = self._next(span)
            page, write = self._judged(found)
            while found:
                following, rest = self._next(rest)
                judging = submit(self._judged, following)  # while PostgreSQL writes the one before
                lost = self._write(page, write, time.monotonic() + self._pace.patience)
                page_after, write = judging.result()
                self._settle(page, lost)
                self.reached = found[-1][: len(self._rows.key)]
                self._pace.worked(0 if self._dry_run else len(page), len(following), self._making)
                seen += len(found)
                if self._progress is not None:
                    self._progress(seen)
                if following:
                    self._pace.rest(self._rows.connection, time.monotonic() - started)
                started, found, page = time.monotonic(), following, page_after
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

    def _judged(self, found: Sequence[Values]) -> tuple[Page, Write]:
        """What is to be written of a page, and what writes it."""
        started = time.monotonic()
        width = len(self._rows.key)
        columns: list[Column] = [*zip(*found, strict=True)] or [()] * (width + len(self._rows.columns))
        keys, old = columns[:width], columns[width:]
        new = [self._changed(values, name, keys) for name, values in zip(self._rows.columns, old, strict=True)]
        page = Page(keys, old, new)
        changed = [
            number for number, differs in enumerate(zip(*map(_differences, old, new), strict=True)) if any(differs)
        ]
        if any(map(_has_undecodable, old)):
            changed = [number for number in changed if self._can_be_compared(page.only([number]))]
        page = page.only(changed)
        write = set if self._dry_run or not len(page) else self._ready(page)
        self._making = time.monotonic() - started
        return page, write

    def _changed(self, values: Column, column: str, keys: Sequence[Column]) -> Column:
        """The new values of a column; those that stay are the same objects."""
        tally = self._report.columns[column]
        numbers = [n for n, value in enumerate(values) if value or (value is not None and value not in ("", b""))]
        tally.empty += len(values) - len(numbers)
        if _has_undecodable(values):
            numbers = [n for n in numbers if self._is_decoded(values[n], column, [key[n] for key in keys])]
        new, changed = list(values), 0
        for number, value in zip(numbers, self._change([values[number] for number in numbers]), strict=True):
            if isinstance(value, Rejected):
                self._reject(column, [key[number] for key in keys], str(value))
                tally.unchanged -= 1
            elif value is not None and value != values[number]:
                new[number] = value
                changed += 1
        tally.changed += changed
        tally.unchanged += len(numbers) - changed
        return new

    def _is_decoded(self, value: Any, column: str, key: Sequence[Any]) -> bool:
        if isinstance(value, Undecodable):
            self._reject(column, key, "isn't UTF-8")
        return not isinstance(value, Undecodable)

    def _can_be_compared(self, row: Page) -> bool:
        [(key, old, new)] = row.rows()
        bad = any(isinstance(value, Undecodable) for value in old)
        if bad:
            for name in self._uncount(old, new):
                self._reject(name, key, "another column of the row isn't UTF-8")
        return not bad

    def _reject(self, column: str, key: Sequence[Any], reason: str) -> None:
        self._report.reject(column, self._rows.named(tuple(key)), reason)

    def _write(self, page: Page, write: Write, deadline: float) -> set[Key]:
        """Writes a page, in halves where it meets a lock or a row that is refused; gives the keys of what was lost."""
        if self._dry_run or not len(page):
            return set()
        if len(page) > 2 * self._pace.writes:  # read while there was little to write
            return self._write_halves(page, deadline)
        started = time.monotonic()
        try:
            lost = write()
        except sa.exc.DBAPIError as error:
            if not (locked := _met_a_lock(error)) and not _refuses(error):
                raise
            if locked:
                self._pace.met_a_lock()
                if time.monotonic() > deadline or self._pace.stopped():
                    raise
            if len(page) > 1:
                return self._write_halves(page, deadline)
            if locked:
                self._pace.nap(0.05)
                return self._write(page, write, deadline)
            self._refused.append((page, error))  # told later: the report is at work in another thread
            return set()
        self._pace.wrote(len(page), time.monotonic() - started)
        return lost

    def _write_halves(self, page: Page, deadline: float) -> set[Key]:
        first, second = page.halves()
        return self._write(first, self._ready(first), deadline) | self._write(second, self._ready(second), deadline)

    def _settle(self, page: Page, lost: set[Key]) -> None:
        """Takes back from the report what wasn't written after all."""
        for refused, error in self._refused:
            reason = getattr(error.orig, "sqlstate", None) or type(error).__name__
            [(key, old, new)] = refused.rows()
            for name in self._uncount(old, new):
                self._reject(name, key, f"the database refuses the new value ({reason})")
        self._refused.clear()
        for key, old, new in page.rows() if lost else ():
            if key in lost:
                self._report.conflicts += 1
                self._uncount(old, new)

    def _uncount(self, old: Values, new: Values) -> list[str]:
        names = [name for name, was, is_now in zip(self._rows.columns, old, new, strict=True) if was != is_now]
        for name in names:
            self._report.columns[name].changed -= 1
        return names


def _has_undecodable(column: Column) -> bool:
    return Undecodable in {*map(type, column)}


def _differences(old: Column, new: Column) -> Iterator[bool]:
    return map(operator.is_not, old, new)


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
