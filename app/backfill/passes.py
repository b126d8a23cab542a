"""Backfills: passes over a table, repeated until one finds nothing to change.

A single UPDATE of a large table holds its locks until the end, loses everything when it is interrupted, and overwrites
what other sessions wrote meanwhile. A backfill sweeps over the table by key instead, a page at a time:

    report = backfill(connection, "users", ["name"], str.casefold)

A page is read, changed in Python outside any transaction, and written in one short transaction. The write touches only
rows whose values are still those that were read (compare and swap). The next pass takes the rows that changed
meanwhile. So a backfill can be killed at any point and started again; other writers wait for a page at most, and lose
nothing.

The change must return None for values that it has changed already. There is no other state. Triggers fire as for every
UPDATE, so `updated_at` moves where a trigger keeps it.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import sqlalchemy as sa

from app.backfill.durability import commits_at_end
from app.backfill.leaves import leaves, unless_gone
from app.backfill.pacing import Pace
from app.backfill.report import BackfillError, Report
from app.backfill.sweep import ByPage, ByRow, Change, Sweep
from app.backfill.table import Table

MAX_PASSES = 10

log = logging.getLogger(__name__)


def backfill(
    connection: sa.Connection,
    table: str,
    columns: Sequence[str],
    change: Change | ByPage | ByRow,
    *,
    key: str | Sequence[str] | None = None,
    page_rows: int | None = None,
    with_nulls: bool = False,
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
    pace: Pace | None = None,
    finished: Callable[[], bool] | None = None,
    newest_first: bool = False,
) -> Report:
    """Applies `change` to every value of the columns that isn't NULL or empty.

    A partitioned table is changed leaf by leaf.

    Args:
        connection: a connection in AUTOCOMMIT, so that each page is committed by itself; in a revision, the one inside
            `autocommit_block()`.
        table: the table's name.
        columns: the columns; the columns of a row are written together.
        change: returns the new value, or None to leave the value unchanged.
        key: columns that are unique together and never NULL; by default the primary key.
        page_rows: rows of a page, the most that are locked or in memory at a time. By default a page has 100 rows at
            first, and as many as can be written in 20 ms later.
        with_nulls: gives NULL and empty values to `change`, too.
        dry_run: reads and changes, and writes nothing.
        progress: called after each page with the number of rows read in this pass.
        pace: all other settings of pages and rests; goes without `page_rows`.
        finished: returns whether nothing is left to change, where a query can tell; it saves the last pass.
        newest_first: the order of the leaves; retention may drop the oldest meanwhile.

    Returns:
        The report. Values that `change` or the database rejects are left alone and don't stop the rest.

    Raises:
        BackfillError: the connection isn't in AUTOCOMMIT, the table has no key, or ten passes weren't enough.
    """
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        raise BackfillError("A backfill commits page by page: give it a connection in AUTOCOMMIT.")
    pace = pace or (Pace(rows=page_rows, target=0) if page_rows else Pace())
    whole, passes = Table(connection, table, columns, key), Passes(table)

    def sweep(report: Report, leaf: str) -> Report:
        rows = whole if leaf == table else Table(connection, leaf, columns, whole.key)
        read, told = report.rows, progress and (lambda number: progress(read + number))
        swept = Sweep(rows, change, pace, with_nulls=with_nulls, dry_run=dry_run, progress=told)
        # Rows that are added meanwhile belong to the next pass; so each pass ends.
        return swept.run(rows.key_range())

    with nullcontext() if dry_run else commits_at_end(connection):
        while not passes.over:
            report = Report.blank(table, columns)
            for leaf in leaves(connection, table, columns, newest_first=newest_first):
                with unless_gone(leaf, table):
                    report.add(sweep(report, leaf))
                if report.stopped:
                    break
            report = passes.add(report, dry_run=dry_run, finished=finished)
    return report


@dataclass
class Passes:
    """Adds up passes over a table, until one has found nothing to change."""

    table: str
    number: int = 0
    changed: dict[str, int] = field(default_factory=dict)
    conflicts: int = 0
    over: bool = False

    def add(self, report: Report, *, dry_run: bool = False, finished: Callable[[], bool] | None = None) -> Report:
        """Adds the report of a pass, and returns it with the changes of all passes.

        Raises:
            BackfillError: this is the tenth pass, and each has changed something.
        """
        self.number += 1
        self.conflicts += report.conflicts
        changed = report.changed
        for name, tally in report.columns.items():
            self.changed[name] = self.changed.get(name, 0) + tally.changed
            if report.stopped:
                tally.changed = self.changed[name]
            elif not dry_run:
                # Changed values may have been deleted since, or overwritten and changed again.
                tally.unchanged += tally.changed
                tally.changed = min(self.changed[name], tally.unchanged)
                tally.unchanged -= tally.changed
        log.debug("%s: %d values changed, %d rows lost to other writers", self.table, changed, report.conflicts)
        self.over = dry_run or report.stopped or not (changed or report.conflicts)
        self.over = self.over or (not report.conflicts and finished is not None and finished())
        if not self.over and self.number >= MAX_PASSES:
            raise BackfillError(
                f"{self.table}: after {MAX_PASSES} passes there are still new values to change: a program keeps "
                "writing them. Stop it or update it, then run this again; what was done is kept."
            )
        report.conflicts = self.conflicts
        return report
