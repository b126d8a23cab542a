"""Periods of the calendar: where one begins, and spans such as `90 days`; every time is naive and UTC."""

import calendar
import datetime as dt
import re
from dataclasses import dataclass
from enum import StrEnum

from app.errors import SchemaError

_SPAN = re.compile(r"(\d+) (day|week|month|year)s?")
_MONTHS = 12
FIRST_MOMENT = dt.datetime.min  # noqa: DTZ901 - naive and UTC, as all of them here
LAST_MOMENT = dt.datetime.max  # noqa: DTZ901


def read_moment(text: str) -> dt.datetime | None:
    """Returns a time that PostgreSQL has written, naive and UTC; None of MINVALUE, and of what Python has no time for.

    A text with a zone is converted; one without is UTC already.
    """
    try:
        moment = dt.datetime.fromisoformat(text)
        return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo is not None else moment
    except (ValueError, OverflowError):
        return None


class Period(StrEnum):
    """A period of the calendar. A week begins on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"

    def start(self, moment: dt.datetime) -> dt.datetime:
        """Returns the beginning of the period that a moment lies in."""
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        match self:
            case Period.DAY:
                return day
            case Period.WEEK:
                return day - dt.timedelta(days=day.weekday())
            case Period.MONTH:
                return day.replace(day=1)
            case Period.YEAR:
                return day.replace(month=1, day=1)

    def next_start(self, moment: dt.datetime) -> dt.datetime:
        """Returns the beginning of the next period: always later than the moment."""
        return Span(1, self).after(self.start(moment))


@dataclass(frozen=True)
class Span:
    """A number of periods, such as `90 days`."""

    number: int
    period: Period

    @classmethod
    def parse(cls, text: str) -> "Span":
        """Reads `90 days`, `4 weeks`, `1 month`.

        Raises:
            SchemaError: the text is no such span.
        """
        match = _SPAN.fullmatch(text.strip())
        if match is None or int(match[1]) == 0:
            raise SchemaError(f"{text!r} is no span of time: write 90 days, 4 weeks, 6 months or 1 year.")
        return cls(int(match[1]), Period(match[2]))

    def after(self, moment: dt.datetime) -> dt.datetime:
        """Returns the moment that is this much later; of a month without such a day its last one."""
        return self._moved(moment, self.number)

    def before(self, moment: dt.datetime) -> dt.datetime:
        """Returns the moment that is this much earlier; of a month without such a day its last one."""
        return self._moved(moment, -self.number)

    def _moved(self, moment: dt.datetime, number: int) -> dt.datetime:
        limit = LAST_MOMENT if number > 0 else FIRST_MOMENT
        if self.period in (Period.DAY, Period.WEEK):
            try:
                return moment + dt.timedelta(days=number * (7 if self.period is Period.WEEK else 1))
            except OverflowError:
                return limit
        months = moment.year * _MONTHS + moment.month - 1 + number * (_MONTHS if self.period is Period.YEAR else 1)
        year, month = months // _MONTHS, months % _MONTHS + 1
        if not dt.MINYEAR <= year <= dt.MAXYEAR:
            return limit
        return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))

    def __str__(self) -> str:
        return f"{self.number} {self.period}{'s' * (self.number != 1)}"
