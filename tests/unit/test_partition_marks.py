"""The comment that marks a partition as kept here, and the number of partitions ahead."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.migrations.ahead import Ahead, Mark, State

BOUNDS = st.none() | st.datetimes()
NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)


@given(NAMES, BOUNDS, BOUNDS, st.sampled_from([*State]))
def test_a_mark_is_read_as_it_was_written(
    table: str, low: dt.datetime | None, high: dt.datetime | None, state: State
) -> None:
    mark = Mark(table, low, high, state)
    assert Mark.parse(str(mark)) == mark


@pytest.mark.parametrize(
    "comment",
    [
        None,
        "",
        "One row per proxied request.",
        "schema partitions: logs from 2026-01-01 00:00:00 to 2026-01-08 00:00:00 UTC, lost",
        "schema partitions: logs from 2026-01-01 00:00:00+01:00 to 2026-01-08 00:00:00 UTC, kept",
        "schema partitions: logs from 2026-01-01 00:00:00 to 2026-01-08T00:00:00Z UTC, retiring",
        "schema partitions: logs from yesterday to 2026-01-08 00:00:00 UTC, kept",
        "kept since: schema partitions: logs from 2026-01-01 00:00:00 to 2026-01-08 00:00:00 UTC, kept",
        "schema partitions: logs from 2026-01-01 00:00:00 to 2026-01-08 00:00:00 UTC, kept for the auditors",
    ],
)
def test_another_comment_is_no_mark(comment: str | None) -> None:
    assert Mark.parse(comment) is None


def test_fewer_than_two_ahead_are_few() -> None:
    end = dt.datetime.fromisoformat("2026-12-14")
    assert [Ahead("logs", number, end, holds_now=True).is_low for number in (0, 1, 2, 3)] == [True, True, False, False]
    assert not Ahead("logs", 0, None, holds_now=True).is_low
    assert str(Ahead("logs", 1, end, holds_now=True)) == (
        "logs: 1 partition ahead, rows are taken until 2026-12-14 00:00 UTC"
    )
