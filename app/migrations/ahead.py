"""Marks of partitions that `schema partitions` keeps, and the number of them that lie ahead; loads no Alembic.

A mark is the comment on a partition. It says that the partition was made or adopted here, with its bounds, and how far
it is: so it tells a table that a killed run left detached from any other table. Dumps carry it. A partition without a
mark is another program's, or a person's, and is never changed. While a plain table is converted, the CHECK of its bound
has a mark.
"""

import datetime as dt
import re
from dataclasses import dataclass, replace
from enum import StrEnum

import sqlalchemy as sa

from app.periods import FIRST_MOMENT, LAST_MOMENT, read_moment
from app.sql_text import fitting

PREFIX = "schema partitions: "
FEWEST_AHEAD = 2
_MAKE_THEM = "Make more: schema partitions maintain"
_MARK = re.compile(rf"{PREFIX}(?P<table>.+) from (?P<low>.+) to (?P<high>.+) UTC, (?P<state>\w+)")
_ENDLESS = {"MINVALUE": FIRST_MOMENT, "-infinity": FIRST_MOMENT, "MAXVALUE": LAST_MOMENT, "infinity": LAST_MOMENT}
_DEFAULT = "DEFAULT"
BOUNDS = re.compile(r"FOR VALUES FROM \('?(.+?)'?\) TO \('?(.+?)'?\)")
# All partitions of each table with a mark on some partition: the others take rows as well. A table that was renamed,
# and has a successor of its old name, which is in its marks, is an archive that takes no rows.
_PARTITIONS = f"""
WITH partitions AS MATERIALIZED (
    SELECT i.inhparent AS parent, i.inhrelid AS child, d.description AS comment
    FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent LEFT JOIN pg_description d
    ON d.objoid = i.inhrelid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0
    WHERE p.relkind = 'p' AND NOT i.inhdetachpending AND pg_table_is_visible(p.oid)
)
SELECT p.relname, comment, pg_get_expr(c.relpartbound, c.oid), timezone('utc', clock_timestamp())
FROM partitions JOIN pg_class p ON p.oid = parent JOIN pg_class c ON c.oid = child
WHERE parent IN (
    SELECT parent FROM partitions JOIN pg_class m ON m.oid = parent, substring(comment, '^{PREFIX}(.+) from ') AS name
    WHERE name = m.relname OR (name IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_class s WHERE s.relname = name AND s.relkind IN ('r', 'p') AND pg_table_is_visible(s.oid)
    ))
)
UNION ALL
SELECT c.relname, d.description, NULL, timezone('utc', clock_timestamp())
FROM pg_description d JOIN pg_constraint o ON o.oid = d.objoid JOIN pg_class c ON c.oid = o.conrelid
WHERE d.classoid = 'pg_constraint'::regclass AND starts_with(d.description, '{PREFIX}')
AND c.relkind = 'r' AND NOT c.relispartition AND pg_table_is_visible(c.oid)
"""


def bound_check(table: str) -> str:
    """Returns the name of the CHECK of a table that is being converted."""
    return fitting(f"{table}_until")


def key_index(table: str) -> str:
    """Returns the name of the index of such a table that becomes its primary key."""
    return fitting(f"{table}_until_key")


class State(StrEnum):
    """The state of a partition that is kept here."""

    MAKING = "making"  # a table that is to be attached
    KEPT = "kept"
    RETIRING = "retiring"  # to be detached, archived and dropped
    CONVERTING = "converting"  # a plain table, which is to be the first partition


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
        if any(moment is not None and moment.tzinfo is not None for moment in (low, high)):
            return None  # written by a person; it could be compared with no other moment
        return cls(match["table"], low, high, State(match["state"]))


@dataclass(frozen=True)
class Ahead:
    """The partitions of a table that follow the one of now, without a gap between them.

    Attributes:
        partitions: their number.
        until: the end of the last one, UTC; None is for ever.
        holds_now: there is a partition for a row of this moment; else each INSERT fails.
        has_default: a default partition takes the rows that no other one takes.
        is_converting: the table is plain still, and its conversion, which has a bound, isn't finished.
    """

    table: str
    partitions: int
    until: dt.datetime | None
    holds_now: bool
    has_default: bool = False
    is_converting: bool = False

    @property
    def is_low(self) -> bool:
        """Returns whether fewer than two are ahead."""
        return self.until is not None and self.partitions < FEWEST_AHEAD

    @property
    def warning(self) -> str | None:
        """Returns the line for an operator if partitions run out: what happens, and what to run."""
        if not self.is_low:
            return None
        if self.is_converting:
            since = f"from {self.until:%Y-%m-%d %H:%M} UTC on" if self.holds_now else "now"
            enable = f"schema partitions enable {self.table}"
            return (
                f"The conversion of {self.table} isn't finished, and {since} each INSERT fails. Finish it: {enable} "
                f"--apply; or take it back: {enable} --undo --apply"
            )
        if not self.holds_now:
            fails = f'no partition of relation "{self.table}" found for row'
            return f"{self.table} has no partition for the rows of now, so each INSERT fails ({fails}). {_MAKE_THEM}"
        then = "rows go to the default partition" if self.has_default else "each INSERT fails"
        return f"{self.table} has {self._number} ahead: from {self.until:%Y-%m-%d %H:%M} UTC on {then}. {_MAKE_THEM}"

    @property
    def _number(self) -> str:
        return f"{self.partitions or 'no'} partition{'s' * (self.partitions != 1)}"

    def __str__(self) -> str:
        if self.until is None:
            return f"{self.table}: the last partition has no end"
        if self.is_converting:
            return f"{self.table}: being converted, rows are taken until {self.until:%Y-%m-%d %H:%M} UTC"
        if not self.holds_now:
            return f"{self.table}: no partition for the rows of now"
        return f"{self.table}: {self._number} ahead, rows are taken until {self.until:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True)
class _Range:
    """The range of a partition; one whose bounds aren't known has none."""

    low: dt.datetime
    high: dt.datetime


def read_ahead(connection: sa.Connection, now: dt.datetime | None = None) -> list[Ahead]:
    """Counts the partitions ahead of each table whose partitions are kept here; none on SQLite.

    It is one statement.

    Args:
        connection: reading joins its transaction.
        now: the moment, naive and UTC; None is the server's clock.
    """
    if connection.dialect.name != "postgresql":
        return []
    tables: dict[str, list[_Range | None]] = {}
    converting = set()
    for table, comment, bound, clock in connection.exec_driver_sql(_PARTITIONS):
        now = now if now is not None else clock
        tables.setdefault(str(table), []).append(_range(comment, str(bound)))
        if (mark := Mark.parse(comment)) is not None and mark.state is State.CONVERTING:
            converting.add(str(table))
    found = [_ahead(table, ranges, now) for table, ranges in sorted(tables.items()) if now is not None]
    return [replace(ahead, is_converting=ahead.table in converting) for ahead in found]


def _range(comment: str | None, bound: str) -> _Range | None:
    """Returns the range of a partition; None of a default one, and of one whose bounds can't be read.

    The bound comes first: a person may have attached the partition again with other ones. In a session with another
    style of dates its text can't be read; then the mark tells.
    """
    match = BOUNDS.fullmatch(bound)
    low, high = (_ENDLESS.get(text) or read_moment(text) for text in match.groups()) if match else (None, None)
    if low is not None and high is not None:
        return _Range(low, high)
    mark = Mark.parse(comment)
    return (
        _Range(mark.low or FIRST_MOMENT, mark.high or LAST_MOMENT) if mark is not None and bound != _DEFAULT else None
    )


def _ahead(table: str, ranges: list[_Range | None], now: dt.datetime) -> Ahead:
    until, partitions = now, 0
    for each in sorted(filter(None, ranges), key=lambda each: each.low):
        if each.low <= until < each.high:
            partitions += each.low > now
            until = each.high
    has_default = None in ranges  # or one that may hold any row: an alarm must not be false
    end = None if until == LAST_MOMENT else until
    return Ahead(table, partitions, end, holds_now=has_default or until > now, has_default=has_default)
