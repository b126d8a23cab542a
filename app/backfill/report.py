"""Reports of a backfill: its counts, and the values that it left alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.errors import SchemaError

LEASES_TABLE = "schema_leases"  # here, where it costs least: every command asks which tables are our own

KEPT_REJECTIONS = 20


class BackfillError(SchemaError):
    """Raised when a backfill can't start or can't finish; written pages stay written."""


class Rejected(Exception):  # noqa: N818 - a verdict on a value, caught by the engine
    """Raised by a change that can't handle a value: the row is left alone and reported by its key."""


@dataclass
class Tally:
    """Counts the values of one column by outcome."""

    empty: int = 0
    unchanged: int = 0
    changed: int = 0
    rejected: int = 0

    def add(self, other: "Tally") -> None:
        """Adds the counts of other rows."""
        for name, count in vars(other).items():
            setattr(self, name, getattr(self, name) + count)


@dataclass
class Report:
    """Counts what a backfill did, or with `dry_run` would do.

    Attributes:
        rows: rows in the table.
        columns: a tally for each column; `unchanged` counts values that needed no change.
        rejections: column, key and reason of the first values that were left alone.
        conflicts: rows that another session changed between read and write; a later pass takes them.
        stopped: the backfill was stopped before its end.
    """

    table: str
    rows: int = 0
    columns: dict[str, Tally] = field(default_factory=dict)
    rejections: list[tuple[str, Any, str]] = field(default_factory=list)
    conflicts: int = 0
    stopped: bool = False

    @classmethod
    def blank(cls, table: str, columns: Sequence[str]) -> "Report":
        """Returns a report without counts."""
        return cls(table, columns={name: Tally() for name in columns})

    @property
    def rejected(self) -> int:
        """Returns the number of values that were left alone."""
        return sum(tally.rejected for tally in self.columns.values())

    @property
    def changed(self) -> int:
        """Returns the number of changed values."""
        return sum(tally.changed for tally in self.columns.values())

    def reject(self, column: str, key: Any, reason: str) -> None:
        """Counts a value that is left alone, and keeps its key if it is one of the first."""
        self.columns[column].rejected += 1
        if len(self.rejections) < KEPT_REJECTIONS:
            self.rejections.append((column, key, reason))

    def add(self, other: "Report") -> None:
        """Adds the report of another range of the same table."""
        self.rows += other.rows
        self.conflicts += other.conflicts
        self.stopped |= other.stopped
        self.rejections += other.rejections[: KEPT_REJECTIONS - len(self.rejections)]
        for name, tally in other.columns.items():
            self.columns[name].add(tally)

    def refuse_rejections(self, values: str, repair: str) -> None:
        """Raises `BackfillError` if values were left alone; `values` is the word for them, `repair` says what to do."""
        if not self.rejected:
            return
        listed = ", ".join(f"{column} of {key}" for column, key, _ in self.rejections)
        more = ", …" if self.rejected > len(self.rejections) else ""
        reasons = " or ".join(sorted({reason for _, _, reason in self.rejections}))
        raise BackfillError(
            f"{self.table}: {self.rejected} of the {values} were left alone ({reasons}): {listed}{more}. "
            f"All others are done. {repair}, and run the same command again."
        )
