"""How large a page is, and when it is waited."""

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from app.backfill import pacing
from app.backfill.pacing import MOST_ROWS, Pace


class Clock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


class Held(Pace):
    """A pace whose waits a function decides."""

    def __init__(self, hold: Callable[[sa.Connection], str | None], **options: Any) -> None:
        super().__init__(**options)
        self._hold = hold

    def wait_reason(self, connection: sa.Connection) -> str | None:
        return self._hold(connection)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    return clock


NOBODY: Any = None


def test_pages_grow_towards_the_time_they_should_take_and_no_further() -> None:
    pace = Pace(target=0.02)
    for _ in range(50):
        pace.wrote(pace.rows, pace.rows * 0.00001)  # 100,000 rows a second
    assert 0.01 < pace.rows * 0.00001 <= 0.02
    for _ in range(50):
        pace.wrote(pace.rows, pace.rows * 0.000001)
    assert pace.rows == MOST_ROWS
    for _ in range(50):
        pace.wrote(pace.rows, 10)
    assert (pace.rows, pace.longest) == (1, 10)


@pytest.mark.parametrize(
    ("target", "given", "rows"),
    [(0.02, 700, 700), (0.02, None, 100), (0.02, 10**6, MOST_ROWS), (0.02, 0, 1), (0, 700, 100)],
    ids=["as it was", "nobody has one", "too large", "none", "a page that is fixed"],
)
def test_the_first_page_is_that_of_another_worker(target: float, given: int | None, rows: int) -> None:
    pace = Pace(target=target)
    pace.begin_with(given)
    assert (pace.rows, pace.writes) == (rows, rows)


def test_a_worker_keeps_the_page_that_it_found_itself() -> None:
    pace = Pace()
    pace.wrote(100, 0.015)
    mine = pace.rows
    pace.begin_with(3000)
    assert (pace.rows, pace.writes) == (mine, mine)


@pytest.mark.parametrize(
    ("fixed", "each", "rows"),
    [(0.03, 7e-6, (300, 1600)), (0.001, 0.002, (6, 12)), (0.001, 0.1, (1, 1))],
    ids=["a slow disk", "a slow trigger", "a very slow trigger"],
)
def test_a_smaller_page_is_one_that_is_quicker(fixed: float, each: float, rows: tuple[int, int]) -> None:
    pace = Pace(target=0.02)
    for _ in range(60):
        pace.wrote(pace.rows, fixed + each * pace.rows)
    assert rows[0] <= pace.rows <= rows[1]


def test_a_busy_machine_does_not_make_pages_of_single_rows() -> None:
    chance, pace = random.Random(1), Pace(target=0.02)
    for _ in range(200):
        stall = chance.uniform(0.02, 0.15) if chance.random() < 0.5 else 0
        pace.wrote(pace.rows, 0.001 + 1e-5 * pace.rows + stall)
    assert 500 < pace.rows < 2500


def test_a_page_of_one_row_grows_again() -> None:
    pace = Pace()
    while pace.rows > 1:
        pace.met_a_lock()
    for _ in range(50):
        pace.wrote(pace.rows, 0.001 + 1e-5 * pace.rows)
    assert pace.rows > 1000


def test_a_page_that_takes_long_to_make_gets_smaller() -> None:
    pace = Pace()
    pace.worked(100, 100, 2.0)  # 20 ms a row, as tokens with a salt each take
    assert pace.rows == 50
    pace.worked(50, 50, 0.5)
    assert pace.rows == 50


def test_more_is_read_where_little_is_written_but_not_written_at_once() -> None:
    pace = Pace()
    for _ in range(50):
        pace.worked(1, pace.rows, 0.001)
    assert (pace.rows, pace.writes) == (MOST_ROWS, 100)
    pace.wrote(100, 0.02)
    assert pace.rows == pace.writes


def test_a_size_that_was_given_stays() -> None:
    pace = Pace(rows=10, target=0)
    pace.worked(0, 10, 100)
    pace.met_a_lock()
    assert (pace.rows, pace.writes) == (10, 10)


def test_a_page_of_which_little_was_written_says_nothing() -> None:
    pace = Pace()
    before = pace.rows
    pace.wrote(1, 0.00001)
    assert pace.rows == before


def test_a_lock_halves_the_page_unless_its_size_was_given() -> None:
    pace, fixed = Pace(rows=5), Pace(rows=5, target=0)
    for _ in range(4):
        pace.met_a_lock()
        fixed.met_a_lock()
    assert (pace.rows, fixed.rows) == (1, 5)


def test_a_backfill_rests_in_proportion(clock: Clock) -> None:
    Pace(pause=3).rest(NOBODY, 0.5)
    assert clock.slept == pytest.approx(1.5)


def test_it_waits_while_the_server_says_so_and_asks_once_a_second(clock: Clock) -> None:
    answers, said, asked = [None, "busy", "busy", None], list[str | None](), list[float]()

    def hold(_connection: sa.Connection) -> str | None:
        asked.append(clock.now)
        return answers.pop(0)

    pace = Held(hold, on_wait=said.append)
    for _ in range(15):
        pace.rest(NOBODY, 0)
        clock.now += 0.1
    assert said == ["busy", None]
    assert [round(later - earlier, 1) for earlier, later in pairwise(asked)] == [1.0, 1.0, 1.0]


def test_a_stop_ends_a_wait(clock: Clock) -> None:
    pace = Held(lambda _: "busy", pause=1000, stopped=lambda: clock.slept > 1)
    pace.rest(NOBODY, 10)
    assert clock.slept < 2
