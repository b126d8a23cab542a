"""Ranges of time that partitions are missing for: pure functions, every time naive and UTC."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from app.partitions import Schedule
from app.periods import FIRST_MOMENT, LAST_MOMENT, Period


@dataclass(frozen=True, order=True)
class Range:
    """A range of time, its end not included; both ends are finite."""

    low: dt.datetime
    high: dt.datetime

    @classmethod
    def of(cls, low: dt.datetime | None, high: dt.datetime | None) -> "Range":
        """Returns the range of a partition's bounds: None is MINVALUE, or MAXVALUE."""
        return cls(low if low is not None else FIRST_MOMENT, high if high is not None else LAST_MOMENT)


def missing(taken: Iterable[Range], schedule: Schedule, now: dt.datetime) -> list[Range]:
    """Returns the ranges that new partitions are needed for, oldest first.

    They cover what no partition takes, from the current period to the one that lies `ahead` of now. If the last
    partition has ended already, they begin at its end, or with the oldest rows that are kept. Each ends with a period,
    or where another partition begins.

    Args:
        taken: the ranges of the partitions that are there.
        schedule: says how long a partition is, and how far ahead they are made.
        now: the moment.
    """
    taken = sorted(taken)
    free = _without(taken, Range(_beginning(taken, schedule, now), schedule.reach(now)))
    return [piece for gap in free for piece in _pieces(gap, schedule.every)]


def expired(high: dt.datetime | None, schedule: Schedule, now: dt.datetime) -> bool:
    """Returns whether all rows of a partition that ends at `high` are older than they are kept."""
    return high is not None and schedule.keep is not None and high <= schedule.keep.before(now)


def _beginning(taken: list[Range], schedule: Schedule, now: dt.datetime) -> dt.datetime:
    current = schedule.every.start(now)
    last = max((own.high for own in taken), default=current)
    if last >= current:
        return current
    oldest = schedule.every.start(schedule.keep.before(now)) if schedule.keep is not None else last
    return max(last, oldest)


def _without(taken: list[Range], whole: Range) -> list[Range]:
    """Returns what is left of a range without others, which are sorted."""
    free, low = [], whole.low
    for own in taken:
        if own.low >= whole.high:
            break
        if own.low > low:
            free.append(Range(low, own.low))
        low = max(low, own.high)
    return [*free, Range(low, whole.high)] if low < whole.high else free


def _pieces(gap: Range, every: Period) -> Iterable[Range]:
    """Cuts a range where periods begin."""
    low = gap.low
    while low < gap.high:
        high = min(every.next_start(low), gap.high)
        if high <= low:  # the calendar ends
            return
        yield Range(low, high)
        low = high
