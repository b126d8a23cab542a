"""Changes many rows a little at a time.

A single UPDATE of a large table holds its locks until the end, loses everything when it is interrupted, and writes over
what others wrote meanwhile. This engine walks the table by key, a page at a time:

    report = backfill(connection, "users", ["name"], str.casefold)

Each page is read, changed in Python outside any transaction, and written by one short transaction that touches only
rows whose values are still those that were read (compare and swap). Rows that changed meanwhile are met again in the
next walk; walks are repeated until one finds nothing to do. So it can be killed at any point and started again, and a
writer at work on the table waits for a page at most and loses nothing.

The change must say `None` to what it has already changed. That is all the state there is: nothing is kept elsewhere.
Triggers fire as for any UPDATE: on tables that keep `updated_at` it moves.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

PAGE_ROWS = 1000
MAX_WALKS = 10
KEPT_REJECTIONS = 20

# In each page's UPDATE: tells whoever watches the statements that this one can be run again at any time.
MARKER = "/* backfill */"

# An execution option of connections that are only looked through, to find out what a revision would do.
REHEARSAL = "schema_rehearsal"

Change = Callable[[str], str | None]

log = logging.getLogger(__name__)


class BackfillError(Exception):
    """A backfill can't start or can't finish; pages that were written stay written."""


class Rejected(Exception):  # noqa: N818 - a verdict on a value, caught by the engine
    """Raised by a change that can't make sense of a value: the row is left alone and reported by its key."""


@dataclass
class Tally:
    """What became of the values of one column."""

    empty: int = 0
    unchanged: int = 0
    changed: int = 0
    rejected: int = 0


@dataclass
class Report:
    """What a backfill did; with `dry_run`, what it would have done.

    Attributes:
        rows: rows in the table.
        columns: a tally for each column; `unchanged` counts values that needed nothing.
        rejections: column, key and reason of the first values that were left alone.
        conflicts: how often somebody else changed a row between read and write; such rows were met again.
    """

    table: str
    rows: int = 0
    columns: dict[str, Tally] = field(default_factory=dict)
    rejections: list[tuple[str, Any, str]] = field(default_factory=list)
    conflicts: int = 0

    @property
    def rejected(self) -> int:
        """How many values were left alone because the change made no sense of them."""
        return sum(tally.rejected for tally in self.columns.values())

    @property
    def changed(self) -> int:
        """How many values were changed."""
        return sum(tally.changed for tally in self.columns.values())


@dataclass(frozen=True)
class _Page:
    keys: list[Any]
    old: list[tuple[str | None, ...]]
    new: list[tuple[str | None, ...]]


def backfill(
    connection: sa.Connection,
    table: str,
    columns: Sequence[str],
    change: Change,
    *,
    key: str = "id",
    page_rows: int = PAGE_ROWS,
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Applies `change` to every value of the columns that isn't NULL or empty.

    Args:
        connection: one with the isolation level AUTOCOMMIT, so that each page is committed by itself; in a revision,
            the one inside `autocommit_block()`.
        table: the table's name.
        columns: text columns; all of a row are written in one go.
        change: gives the new value, or None to leave the value as it is.
        key: the primary key, of one column.
        page_rows: rows per page, 1,000 unless told otherwise: the most that is ever locked or held in memory.
        dry_run: reads and applies the change, and writes nothing.
        progress: called after each page with the number of rows seen in this walk.

    Returns:
        What was done. Values that `change` rejected are left as they are, and don't stop the rest.

    Raises:
        BackfillError: the connection is in a transaction, or after ten walks somebody still adds rows to change.
    """
    if rehearses(connection):
        return Report(table, columns={name: Tally() for name in columns})
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        raise BackfillError("A backfill commits page by page: give it a connection in AUTOCOMMIT.")
    writer = _writer(connection, table, columns, key)
    changed = dict.fromkeys(columns, 0)
    conflicts = 0
    for _ in range(MAX_WALKS):
        report = Report(table, columns={name: Tally() for name in columns}, conflicts=conflicts)
        for page in _pages(connection, report, change, key, page_rows):
            if page.keys and not dry_run:
                _take_back(report, page, written=writer(page))
            if progress is not None:
                progress(report.rows)
        for name, tally in report.columns.items():
            changed[name] += tally.changed
        lost, conflicts = report.conflicts - conflicts, report.conflicts
        if dry_run or not (report.changed or lost):
            break
        log.debug("%s: %d values changed, %d rows lost to other writers", table, report.changed, lost)
    else:
        raise BackfillError(
            f"{table}: after {MAX_WALKS} walks there are still new values to change: a program keeps writing them. "
            "Stop it or update it, then run this again; what was done is kept."
        )
    if not dry_run:
        for name, tally in report.columns.items():
            # What was changed may have been deleted since, or written by somebody else and changed again.
            tally.changed = min(changed[name], tally.unchanged)
            tally.unchanged -= tally.changed
    return report


def _take_back(report: Report, page: _Page, *, written: set[Any]) -> None:
    for key, old, new in zip(page.keys, page.old, page.new, strict=True):
        if key not in written:
            report.conflicts += 1
            for tally, was, would_be in zip(report.columns.values(), old, new, strict=True):
                tally.changed -= was != would_be


def rehearses(connection: sa.Connection) -> bool:
    """Whether nothing is to be read or written, because a revision is only being looked at."""
    return bool(connection.get_execution_options().get(REHEARSAL))


def _pages(connection: sa.Connection, report: Report, change: Change, key: str, page_rows: int) -> Iterator[_Page]:
    names = list(report.columns)
    quote = connection.dialect.identifier_preparer.quote
    selected = ", ".join(map(quote, [key, *names]))
    source, by = quote(report.table), quote(key)
    # Rows that are added meanwhile are the next walk's: a walk ends.
    last = connection.execute(sa.text(f"SELECT {by} FROM {source} ORDER BY {by} DESC LIMIT 1")).scalar()
    first = sa.text(f"SELECT {selected} FROM {source} WHERE {by} <= :last ORDER BY {by} LIMIT :rows")
    following = sa.text(
        f"SELECT {selected} FROM {source} WHERE {by} > :after AND {by} <= :last ORDER BY {by} LIMIT :rows"
    )
    rows = connection.execute(first, {"last": last, "rows": page_rows}).all() if last is not None else []
    while rows:
        report.rows += len(rows)
        page = _Page([], [], [])
        for row in rows:
            old = tuple(row[1:])
            new = tuple(_changed(value, change, report, name, row[0]) for name, value in zip(names, old, strict=True))
            if new != old:
                page.keys.append(row[0])
                page.old.append(old)
                page.new.append(new)
        yield page
        bounds = {"after": rows[-1][0], "last": last, "rows": page_rows}
        rows = connection.execute(following, bounds).all() if len(rows) == page_rows else []


def _changed(value: str | None, change: Change, report: Report, column: str, key: Any) -> str | None:
    tally = report.columns[column]
    if not value:
        tally.empty += 1
        return value
    try:
        new = change(value)
    except Rejected as verdict:
        tally.rejected += 1
        if len(report.rejections) < KEPT_REJECTIONS:
            report.rejections.append((column, key, str(verdict)))
        return value
    if new is None or new == value:
        tally.unchanged += 1
        return value
    tally.changed += 1
    return new


def _writer(connection: sa.Connection, table: str, columns: Sequence[str], key: str) -> Callable[[_Page], set[Any]]:
    if connection.dialect.name == "postgresql":
        return _postgresql_writer(connection, table, columns, key)
    return _sqlite_writer(connection, table, columns, key)


def _postgresql_writer(
    connection: sa.Connection, table: str, columns: Sequence[str], key: str
) -> Callable[[_Page], set[Any]]:
    quote = connection.dialect.identifier_preparer.quote
    key_type = connection.execute(
        sa.text(
            "SELECT format_type(atttypid, NULL) FROM pg_attribute "
            "WHERE attrelid = CAST(:table AS regclass) AND attname = :key"
        ),
        {"table": quote(table), "key": key},
    ).scalar_one()
    numbers = range(len(columns))
    arrays = ", ".join(
        [
            f"%(keys)b::{key_type}[]",
            *(f"%(old{n})b::text[]" for n in numbers),
            *(f"%(new{n})b::text[]" for n in numbers),
        ]
    )
    names = ", ".join(["k", *(f"o{n}" for n in numbers), *(f"n{n}" for n in numbers)])
    assigned = ", ".join(f"{quote(name)} = v.n{n}" for n, name in enumerate(columns))
    unchanged = " AND ".join(f"t.{quote(name)} IS NOT DISTINCT FROM v.o{n}" for n, name in enumerate(columns))
    # Without the bounds the planner walks the whole index for each page.
    statement = (
        f"{MARKER} UPDATE {quote(table)} AS t SET {assigned} FROM unnest({arrays}) AS v({names}) "
        f"WHERE t.{quote(key)} = v.k "
        f"AND t.{quote(key)} BETWEEN %(low)s::{key_type} AND %(high)s::{key_type} AND {unchanged} RETURNING v.k"
    )

    def write(page: _Page) -> set[Any]:
        parameters: dict[str, Any] = {"keys": page.keys, "low": page.keys[0], "high": page.keys[-1]}
        for n in numbers:
            parameters[f"old{n}"] = [values[n] for values in page.old]
            parameters[f"new{n}"] = [None if values[n] is None else str(values[n]) for values in page.new]
        return set(connection.exec_driver_sql(statement, parameters).scalars())

    return write


def _sqlite_writer(
    connection: sa.Connection, table: str, columns: Sequence[str], key: str
) -> Callable[[_Page], set[Any]]:
    quote = connection.dialect.identifier_preparer.quote
    assigned = ", ".join(f"{quote(name)} = ?" for name in columns)
    unchanged = " AND ".join(f"{quote(name)} IS ?" for name in columns)
    statement = f"{MARKER} UPDATE {quote(table)} SET {assigned} WHERE {quote(key)} = ? AND {unchanged}"
    selected = ", ".join(map(quote, [key, *columns]))
    question = f"SELECT {selected} FROM {quote(table)} WHERE {quote(key)} BETWEEN ? AND ?"

    def write(page: _Page) -> set[Any]:
        rows = [(*new, k, *old) for k, old, new in zip(page.keys, page.old, page.new, strict=True)]
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            written = set(page.keys)
            if connection.exec_driver_sql(statement, rows).rowcount < len(rows):  # which, it doesn't say
                found = connection.exec_driver_sql(question, (page.keys[0], page.keys[-1]))
                stored = {row[0]: tuple(row[1:]) for row in found}
                written = {k for k, new in zip(page.keys, page.new, strict=True) if stored.get(k) == new}
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        return written

    return write
