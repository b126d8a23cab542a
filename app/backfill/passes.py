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

A page that meets a lock is halved and tried again; a row that the database refuses is left alone, and told by its key.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from app.backfill.pacing import Pace
from app.backfill.sweep import KEPT_REJECTIONS, ByPage, Change, Rejected, Report, Tally, Walk, blank
from app.backfill.table import NoKeyError, Rows
from app.backfill.writers import MARKER
from app.errors import SchemaError

__all__ = [
    "KEPT_REJECTIONS",
    "MARKER",
    "MAX_WALKS",
    "BackfillError",
    "ByPage",
    "Rejected",
    "Report",
    "Tally",
    "Walks",
    "backfill",
]

MAX_WALKS = 10

log = logging.getLogger(__name__)


class BackfillError(SchemaError):
    """A backfill can't start or can't finish; pages that were written stay written."""


def backfill(
    connection: sa.Connection,
    table: str,
    columns: Sequence[str],
    change: Change | ByPage,
    *,
    key: str | Sequence[str] | None = None,
    page_rows: int | None = None,
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
    pace: Pace | None = None,
    finished: Callable[[], bool] | None = None,
) -> Report:
    """Applies `change` to every value of the columns that isn't NULL or empty.

    Args:
        connection: one with the isolation level AUTOCOMMIT, so that each page is committed by itself; in a revision,
            the one inside `autocommit_block()`.
        table: the table's name.
        columns: the columns; all of a row are written in one go.
        change: gives the new value, or None to leave the value as it is.
        key: columns that are unique together and never NULL; the primary key unless told otherwise.
        page_rows: rows per page: the most that is ever locked or held in memory. Unless told, a page begins with 100
            rows and gets as large as can be written in 20 ms, and made in a second.
        dry_run: reads and applies the change, and writes nothing.
        progress: called after each page with the number of rows seen in this walk.
        pace: everything else about pages and pauses; `page_rows` is left out then.
        finished: whether nothing is left to change, where that can be asked: it saves the last walk.

    Returns:
        What was done. Values that `change` rejected, or the database, are left as they are, and don't stop the rest.

    Raises:
        BackfillError: the connection is in a transaction, or after ten walks somebody still adds rows to change.
    """
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        raise BackfillError("A backfill commits page by page: give it a connection in AUTOCOMMIT.")
    pace = pace or (Pace(rows=page_rows, target=0) if page_rows else Pace())
    walks, report = Walks(table), blank(table, columns)
    try:
        rows = Rows(connection, table, columns, key)
        while not walks.over:
            walk = Walk(rows, change, pace, dry_run=dry_run, progress=progress)
            # Rows that are added meanwhile are the next walk's: a walk ends.
            report = walks.add(walk.through(rows.span()), dry_run=dry_run, finished=finished)
    except NoKeyError as error:
        raise BackfillError(str(error)) from None
    return report


@dataclass
class Walks:
    """Walks through a table, one after the other, until one has found nothing to do.

    Attributes:
        number: of the walks that are done.
        changed: values that were changed, for each column.
        conflicts: rows that were lost to other writers.
        over: there is no need of another walk.
    """

    table: str
    number: int = 0
    changed: dict[str, int] = field(default_factory=dict)
    conflicts: int = 0
    over: bool = False

    def add(self, walk: Report, *, dry_run: bool = False, finished: Callable[[], bool] | None = None) -> Report:
        """Adds a walk.

        Returns:
            The walk's report, with what all of them have changed.

        Raises:
            BackfillError: there were ten, and each changed something.
        """
        self.number += 1
        self.conflicts += walk.conflicts
        changed = walk.changed
        for name, tally in walk.columns.items():
            self.changed[name] = self.changed.get(name, 0) + tally.changed
            if walk.stopped:
                tally.changed = self.changed[name]  # of the walks before, too
            elif not dry_run:
                # What was changed may have been deleted since, or written by somebody else and changed again.
                tally.unchanged += tally.changed
                tally.changed = min(self.changed[name], tally.unchanged)
                tally.unchanged -= tally.changed
        log.debug("%s: %d values changed, %d rows lost to other writers", self.table, changed, walk.conflicts)
        self.over = dry_run or walk.stopped or not (changed or walk.conflicts)
        self.over = self.over or (not walk.conflicts and finished is not None and finished())
        if not self.over and self.number >= MAX_WALKS:
            raise BackfillError(
                f"{self.table}: after {MAX_WALKS} walks there are still new values to change: a program keeps writing "
                "them. Stop it or update it, then run this again; what was done is kept."
            )
        walk.conflicts = self.conflicts
        return walk
