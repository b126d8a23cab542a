"""Partitions that are declared with their table, as an index is.

    class RequestLog(Base):
        __tablename__ = "request_logs"
        __table_args__ = (Partitioned(by="request_time", every="week", keep="90 days", ahead="4 weeks"),)

The table may be partitioned in a database; `metadata.create_all` and revisions make a plain one, and `schema partitions
enable` converts it. In a comparison both are equal, and a primary or unique key may have the partition column as well.
`schema partitions maintain` makes the partitions ahead, and drops rows that are older than `keep`: from a plain table,
and on SQLite, page by page. The declaration is the consent to that.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.base import SchemaEventTarget

from app.errors import SchemaError
from app.periods import Period, Span

INFO_KEY = "partitioned"
FOREVER = "forever"


class Partitioned(sa.schema.SchemaItem):
    """Declares that a table may be partitioned by ranges of a column, and how long its rows are kept.

    Args:
        by: the name of the column in the database: a `timestamp` that holds UTC, or a `timestamptz`. Never NULL.
        every: the period of a partition: `day`, `week`, which begins on Monday, `month` or `year`.
        keep: how long rows are kept, such as `90 days`; None keeps them for ever.
        ahead: how far ahead partitions are made, such as `4 weeks`, and two of them in any case; None makes four.

    Raises:
        SchemaError: a value can't be used.
    """

    def __init__(self, *, by: str, every: str = "month", keep: str | None = None, ahead: str | None = None) -> None:
        self.by = by
        self.schedule = Schedule.parse(every, keep, ahead)

    def _set_parent(self, parent: SchemaEventTarget, **_: Any) -> None:
        assert isinstance(parent, sa.Table)
        parent.info[INFO_KEY] = self  # a copy of the table has it, too


@dataclass(frozen=True)
class Schedule:
    """The times of a partitioned table.

    Attributes:
        every: the period of a partition.
        keep: how long rows are kept; None is for ever.
        ahead: how far ahead partitions are made.
    """

    every: Period
    keep: Span | None
    ahead: Span

    @classmethod
    def parse(cls, every: str, keep: str | None, ahead: str | None) -> "Schedule":
        """Reads a schedule.

        Raises:
            SchemaError: a value can't be used.
        """
        if every not in [*Period]:
            raise SchemaError(f"{every!r} is no period of partitions: write day, week, month or year.")
        period = Period(every)
        kept = None if keep is None or keep == FOREVER else Span.parse(keep)
        return cls(period, kept, Span.parse(ahead) if ahead is not None else Span(4, period))

    def reach(self, now: dt.datetime) -> dt.datetime:
        """Returns the end of the last partition that is made: of the period that lies `ahead` of now.

        Two periods after that of now have theirs in any case: fewer are an alarm, which would never end.
        """
        two_ahead = Span(3, self.every).after(self.every.start(now))
        return max(self.every.next_start(self.ahead.after(now)), two_ahead)

    def with_settings(self, settings: Mapping[str, str]) -> "Schedule":
        """Returns the schedule with the values of settings: `every`, `keep`, `ahead`; `keep` may be `forever`.

        Raises:
            SchemaError: a value can't be used.
        """
        keep = settings.get("keep", str(self.keep) if self.keep is not None else None)
        ahead = settings.get("ahead", str(self.ahead))
        return self.parse(settings.get("every", str(self.every)), keep, ahead)


@dataclass(frozen=True)
class Declared:
    """A table that may be partitioned, with its partition column, its primary key and its schedule."""

    table: str
    by: str
    key: tuple[str, ...]
    schedule: Schedule

    def with_settings(self, settings: Mapping[str, str]) -> "Declared":
        """Returns the declaration with the values of settings.

        Raises:
            SchemaError: a value can't be used.
        """
        return replace(self, schedule=self.schedule.with_settings(settings))


def declarations(metadata: sa.MetaData) -> dict[str, Declared]:
    """Returns the declarations by the table's name.

    Raises:
        SchemaError: a table has no such column, or one that may be NULL.
    """
    found = {}
    for table in metadata.tables.values():
        if (own := table.info.get(INFO_KEY)) is None:
            continue
        column = next((column for column in table.columns if column.name == own.by), None)
        if column is None:
            raise SchemaError(f"The models declare {table.name} as partitioned by {own.by}, and it has no such column.")
        key = tuple(column.name for column in table.primary_key)
        found[table.name] = Declared(table.name, own.by, key, own.schedule)
    return found


def declared_partitions(metadata: sa.MetaData) -> dict[str, str]:
    """Returns the tables that may be partitioned, each with its partition column.

    Raises:
        SchemaError: a table has no such column.
    """
    return {declared.table: declared.by for declared in declarations(metadata).values()}
