"""Ranges that partitions are missing for: no overlap, no gap, aligned, and the same after they are made."""

import datetime as dt
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.migrations.ahead import FEWEST_AHEAD
from app.migrations.partitions.ranges import Range, expired, missing
from app.partitions import Schedule
from app.periods import Period, Span

at = dt.datetime.fromisoformat
MOMENTS = st.datetimes(at("2010-01-01"), at("2040-01-01"))
SPANS = st.builds(Span, st.integers(1, 40), st.sampled_from(Period).filter(lambda period: period is not Period.YEAR))
SCHEDULES = st.builds(Schedule, st.sampled_from(Period), st.none() | SPANS, SPANS)
WEEKS = Schedule.parse("week", "90 days", "4 weeks")


@st.composite
def taken(draw: st.DrawFn) -> list[Range]:
    """Ranges beside each other, with gaps or not, at odd bounds or not."""
    bounds = sorted(draw(st.sets(MOMENTS | MOMENTS.map(Period.MONTH.start), max_size=12)))
    return [Range(low, high) for low, high in pairwise(bounds) if draw(st.booleans())]


@settings(deadline=None, max_examples=60)
@given(taken(), SCHEDULES, MOMENTS)
def test_what_is_missing_covers_now_and_ahead_once(there: list[Range], schedule: Schedule, now: dt.datetime) -> None:
    made = missing(there, schedule, now)
    whole = sorted([*there, *made])
    assert all(own.low < own.high for own in made)
    assert all(before.high <= after.low for before, after in pairwise(whole))
    covered = [schedule.every.start(now), now, schedule.ahead.after(now)]
    assert all(any(own.low <= moment < own.high for own in whole) for moment in covered)
    between = [own for own in whole if own.high > covered[0] and own.low <= covered[-1]]
    assert all(before.high == after.low for before, after in pairwise(between))
    assert missing([*there, *made], schedule, now) == []


@settings(deadline=None, max_examples=60)
@given(taken(), SCHEDULES, MOMENTS)
def test_a_bound_is_a_period_s_or_a_neighbour_s(there: list[Range], schedule: Schedule, now: dt.datetime) -> None:
    made = missing(there, schedule, now)
    given_ = {bound for own in there for bound in (own.low, own.high)}
    for own in made:
        assert own.low == schedule.every.start(own.low) or own.low in given_
        assert own.high == schedule.every.start(own.high) or own.high in given_
        assert own.high <= schedule.every.next_start(own.low)


@settings(deadline=None, max_examples=60)
@given(SCHEDULES, MOMENTS, st.timedeltas(dt.timedelta(0), dt.timedelta(days=400)))
def test_after_a_late_run_nothing_that_is_kept_has_no_partition(
    schedule: Schedule, now: dt.datetime, late: dt.timedelta
) -> None:
    there = missing([], schedule, now)
    assert sum(own.low > now for own in there) >= FEWEST_AHEAD
    whole = [*there, *missing(there, schedule, now + late)]
    gaps = [(before.high, after.low) for before, after in pairwise(whole) if before.high != after.low]
    assert all(schedule.keep is not None and after <= schedule.keep.before(now + late) for _, after in gaps)
    assert all(expired(after, schedule, now + late) for _, after in gaps)


@settings(deadline=None, max_examples=60)
@given(taken(), SCHEDULES, MOMENTS, st.timedeltas(dt.timedelta(0), dt.timedelta(days=4000)))
def test_a_clock_in_the_past_makes_nothing_twice(
    there: list[Range], schedule: Schedule, now: dt.datetime, back: dt.timedelta
) -> None:
    made = [*there, *missing(there, schedule, now)]
    again = missing(made, schedule, now - back)
    whole = sorted([*made, *again])
    assert all(before.high <= after.low for before, after in pairwise(whole))


def test_weeks_begin_on_monday_and_four_are_ahead() -> None:
    made = missing([], WEEKS, at("2026-11-30 00:37"))
    days = [at("2026-11-30") + dt.timedelta(days=7 * number) for number in range(6)]
    assert made == [Range(low, high) for low, high in pairwise(days)]


def test_the_moment_of_a_bound_has_as_many_ahead() -> None:
    assert len(missing([], WEEKS, at("2026-11-30"))) == 5


@pytest.mark.parametrize(
    ("every", "now", "bounds"),
    [
        ("day", "2028-02-28 12:00", ["2028-02-28", "2028-02-29", "2028-03-01", "2028-03-02"]),
        ("day", "2027-02-28 12:00", ["2027-02-28", "2027-03-01", "2027-03-02", "2027-03-03"]),
        ("month", "2028-01-31 12:00", ["2028-01-01", "2028-02-01", "2028-03-01", "2028-04-01"]),
        ("year", "2028-02-29 12:00", ["2028-01-01", "2029-01-01", "2030-01-01", "2031-01-01"]),
        # The clocks of New York and Apia change on these days; a day of UTC has 24 hours.
        ("day", "2026-11-01 05:30", ["2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04"]),
        ("day", "2011-12-30 12:00", ["2011-12-30", "2011-12-31", "2012-01-01", "2012-01-02"]),
    ],
)
def test_leap_days_and_other_odd_days(every: str, now: str, bounds: list[str]) -> None:
    schedule = Schedule.parse(every, None, f"1 {every}")  # two are ahead in any case
    moments = [at(bound) for bound in bounds]
    assert missing([], schedule, at(now)) == [Range(low, high) for low, high in pairwise(moments)]


def test_the_first_piece_after_an_odd_bound_ends_with_its_period() -> None:
    there = [Range.of(None, at("2026-12-02 07:30"))]
    made = missing(there, WEEKS, at("2026-11-30 01:00"))
    assert made[0] == Range(at("2026-12-02 07:30"), at("2026-12-07"))
    assert made[1].low == at("2026-12-07")


def test_a_change_of_period_counts_for_new_ones_only() -> None:
    there = missing([], Schedule.parse("month", None, "1 month"), at("2026-11-30"))
    made = missing(there, Schedule.parse("week", None, "10 weeks"), at("2026-11-30"))
    assert made[0] == Range(at("2027-02-01"), at("2027-02-08"))


def test_the_calendar_ends() -> None:
    made = missing([], Schedule.parse("year", "1 year", "9000 years"), at("9990-05-01"))
    assert made[-1].high.year == dt.MAXYEAR
    assert missing([Range.of(None, None)], WEEKS, at("2026-11-30")) == []


@pytest.mark.parametrize(
    ("high", "is_expired"),
    [("2026-09-01", True), ("2026-09-01 00:00:01", False), (None, False)],
)
def test_a_partition_expires_when_its_end_is_older_than_kept(high: str | None, *, is_expired: bool) -> None:
    schedule = Schedule.parse("week", "90 days", None)
    end = at(high) if high else None
    assert expired(end, schedule, at("2026-11-30")) is is_expired
    assert not expired(end, Schedule.parse("week", None, None), at("2026-11-30"))
