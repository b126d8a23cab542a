"""Marks of partitions that `schema partitions` keeps, and the number of them that lie ahead; loads no Alembic.

A mark is the comment on a partition. It says that the partition was made or adopted here, with its bounds, and how far
it is: so it tells a table that a killed run left detached from any other table. Dumps carry it. A partition without a
mark is another program's, or a person's, and is never changed.
"""

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

PREFIX = "schema partitions: "
FEWEST_AHEAD = 2
_MARK = re.compile(rf"{PREFIX}(?P<table>.+) from (?P<low>.+) to (?P<high>.+) UTC, (?P<state>\w+)")
_MARKS = f"""
SELECT p.relname, d.description
FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
JOIN pg_description d ON d.objoid = i.inhrelid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0
WHERE p.relkind = 'p' AND NOT i.inhdetachpending AND pg_table_is_visible(p.oid)
AND starts_with(d.description, '{PREFIX}')
"""
_NOW = "SELECT timezone('utc', clock_timestamp())"


class State(StrEnum):
    """The state of a partition that is kept here."""

    MAKING = "making"  # a table that is to be attached
    KEPT = "kept"
    RETIRING = "retiring"  # to be detached, archived and dropped


@dataclass(frozen=True)
class Mark:
    """The mark of a partition.

    Attributes:
        table: the partitioned table.
        low: its first moment, UTC; None is MINVALUE.
        high: the first moment after it; None is MAXVALUE.
    """

    table: str
    low: dt.datetime | None
    high: dt.datetime | None
    state: State

    def __str__(self) -> str:
        low, high = self.low or "MINVALUE", self.high or "MAXVALUE"
        return f"{PREFIX}{self.table} from {low} to {high} UTC, {self.state}"

    @classmethod
    def parse(cls, comment: str | None) -> "Mark | None":
        """Reads a comment; returns None if it is no mark."""
        match = _MARK.fullmatch(comment or "")
        if match is None or match["state"] not in [*State]:
            return None
        try:
            low, high = (
                None if match[name] in ("MINVALUE", "MAXVALUE") else dt.datetime.fromisoformat(match[name])
                for name in ("low", "high")
            )
        except ValueError:
            return None
        return cls(match["table"], low, high, State(match["state"]))


@dataclass(frozen=True)
class Ahead:
    """The partitions of a table that begin later than now.

    Attributes:
        partitions: their number.
        until: the end of the last one, UTC; None is for ever.
        holds_now: there is a partition for a row of this moment; else each INSERT fails.
    """

    table: str
    partitions: int
    until: dt.datetime | None
    holds_now: bool

    @property
    def is_low(self) -> bool:
        """Returns whether fewer than two are ahead."""
        return self.until is not None and self.partitions < FEWEST_AHEAD

    def __str__(self) -> str:
        if self.until is None:
            return f"{self.table}: the last partition has no end"
        number = f"{self.partitions or 'no'} partition{'s' * (self.partitions != 1)} ahead"
        return f"{self.table}: {number}, rows are taken until {self.until:%Y-%m-%d %H:%M} UTC"


def read_ahead(connection: sa.Connection, now: dt.datetime | None = None) -> list[Ahead]:
    """Counts the partitions ahead of each table whose partitions are kept here; none on SQLite. Locks nothing.

    Args:
        connection: reading joins its transaction.
        now: the moment, naive and UTC; None is the server's clock.
    """
    if connection.dialect.name != "postgresql":
        return []
    rows = connection.exec_driver_sql(_MARKS).all()
    if not rows:
        return []
    moment = now if now is not None else connection.exec_driver_sql(_NOW).scalar_one()
    tables: dict[str, list[Mark]] = {}
    for table, comment in rows:
        mark = Mark.parse(comment)
        if mark is not None:
            tables.setdefault(str(table), []).append(mark)
    return [_ahead(table, marks, moment) for table, marks in sorted(tables.items())]


def _ahead(table: str, marks: Iterable[Mark], now: dt.datetime) -> Ahead:
    marks = [*marks]
    ends = [mark.high for mark in marks]
    until = None if None in ends else max(end for end in ends if end is not None)
    later = [mark for mark in marks if mark.low is not None and mark.low > now]
    holds = any((m.low is None or m.low <= now) and (m.high is None or m.high > now) for m in marks)
    return Ahead(table, len(later), until, holds)
