"""Periods of the calendar and spans of time: every moment is naive and UTC."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import SchemaError
from app.partitions import Schedule
from app.periods import FIRST_MOMENT, LAST_MOMENT, Period, Span

MOMENTS = st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(3000, 1, 1))  # noqa: DTZ001 - UTC
PERIODS = st.sampled_from([*Period])


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


@given(MOMENTS, PERIODS)
def test_a_period_holds_its_moments(moment: dt.datetime, period: Period) -> None:
    start, end = period.start(moment), period.next_start(moment)
    assert start <= moment < end
    assert period.start(start) == start
    assert period.next_start(start) == end
    assert (start.hour, start.minute, start.second, start.microsecond) == (0, 0, 0, 0)


@given(MOMENTS, st.integers(1, 500), PERIODS)
def test_a_span_moves_one_way(moment: dt.datetime, number: int, period: Period) -> None:
    span = Span(number, period)
    assert span.before(moment) < moment < span.after(moment)
    assert Span.parse(str(span)) == span


@pytest.mark.parametrize(
    ("span", "moment", "after"),
    [
        ("1 year", "2024-02-29", "2025-02-28"),
        ("1 month", "2026-01-31", "2026-02-28"),
        ("1 month", "2024-01-31", "2024-02-29"),
        ("12 months", "2026-11-30", "2027-11-30"),
        ("90 days", "2024-02-28", "2024-05-28"),
        ("4 weeks", "2026-03-28", "2026-04-25"),  # over a change of the clock in Europe
    ],
)
def test_calendar(span: str, moment: str, after: str) -> None:
    assert Span.parse(span).after(at(moment)) == at(after)


@pytest.mark.parametrize("period", Period)
def test_the_end_of_time_is_no_error(period: Period) -> None:
    span = Span(3, period)
    assert span.after(LAST_MOMENT) == LAST_MOMENT
    assert span.before(FIRST_MOMENT) == FIRST_MOMENT


@pytest.mark.parametrize("text", ["", "90", "days", "0 days", "-1 days", "1.5 days", "90 hours", "9 0 days", "forever"])
def test_no_span(text: str) -> None:
    with pytest.raises(SchemaError, match="is no span of time: write 90 days"):
        Span.parse(text)


def test_a_schedule_takes_the_values_of_settings() -> None:
    schedule = Schedule.parse("week", "90 days", None)
    assert str(schedule.ahead) == "4 weeks"
    assert schedule.with_settings({}) == schedule
    assert schedule.with_settings({"keep": "forever"}).keep is None
    assert schedule.with_settings({"every": "day", "keep": "1 week", "ahead": "9 days"}) == Schedule(
        Period.DAY, Span(1, Period.WEEK), Span(9, Period.DAY)
    )
    with pytest.raises(SchemaError, match="'hour' is no period of partitions: write day, week, month or year"):
        schedule.with_settings({"every": "hour"})
