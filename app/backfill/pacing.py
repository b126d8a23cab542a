"""How much is done at once, and when to wait: what keeps a long piece of work out of other people's way."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import fmean, linear_regression

import sqlalchemy as sa

PAGE_ROWS = 100
MOST_ROWS = 4000
TARGET_SECONDS = 0.02
HEARD_WITHIN = 1.0
_ASK_EVERY = 1.0
_NAP = 0.2

# Replicas that have fallen behind, in seconds; NULL where there are none, or where the role may not see them.
LAG = "SELECT extract(epoch FROM max(replay_lag)) FROM pg_stat_replication"

Hold = Callable[[sa.Connection], str | None]
"""Asks the server whether to wait; gives the reason, or None."""


def nobody_stops() -> bool:
    """What is asked where nobody can say that it should stop."""
    return False


@dataclass
class Pace:
    """How many rows a page has, and how long to rest after it.

    Attributes:
        rows: of the next page, as it is read.
        writes: the rows of a transaction; more are written in several.
        target: seconds that writing a page should take; 0 keeps `rows` as it is.
        pause: how long to rest after each page, in proportion to the time that it took.
        hold: asked about once a second whether to wait.
        patience: seconds for which a page that meets a lock is tried again.
        said: called with the reason when it begins to wait, and with None when it goes on.
        stopped: whether the work is to end after this page.
    """

    rows: int = PAGE_ROWS
    target: float = TARGET_SECONDS
    pause: float = 0.0
    hold: Hold | None = None
    patience: float = 30.0
    said: Callable[[str | None], None] = field(default=lambda _: None)
    stopped: Callable[[], bool] = nobody_stops
    longest: float = 0.0
    writes: int = field(init=False)
    _asked: float = 0.0
    _pages: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=12))

    def __post_init__(self) -> None:
        self.writes = self.rows

    def wrote(self, rows: int, seconds: float) -> None:
        """To be called after each transaction: the next page is larger if this one was quick, and else smaller."""
        self.longest = max(self.longest, seconds)
        if self.target and rows * 2 >= self.writes:  # a page of which little was written says nothing
            self._pages.append((rows, max(seconds, 1e-6)))
            fixed, each = _cost(self._pages)
            # Where the commit alone takes longer than the page should, a smaller page doesn't help.
            wanted = max(self.target - fixed, self.target / 4) / each
            self.rows = self.writes = _towards(max(wanted, self.writes / 2), self.writes)

    def worked(self, written: int, made: int, seconds: float) -> None:
        """To be called after each page: more is read where little is to be written, less where that is slow to make.

        Args:
            written: how many rows were written, in as many transactions as that took.
            made: for how many rows new values were made.
            seconds: how long that took; 20 ms for a token that has a salt of its own. Who asks to stop is to be heard.
        """
        if self.target and written * 2 < self.writes:
            self.rows = _towards(MOST_ROWS, self.rows)
        if self.target and seconds > HEARD_WITHIN:
            self.rows = max(min(self.rows, int(made * HEARD_WITHIN / seconds)), 1)

    def met_a_lock(self) -> None:
        """Halves the page."""
        if self.target:
            self.rows = self.writes = max(self.writes // 2, 1)

    def rest(self, connection: sa.Connection, worked: float) -> None:
        """Rests after a page that took so long, and for as long as the server says."""
        self.nap(worked * self.pause)
        if self.hold is None or time.monotonic() < self._asked + _ASK_EVERY:
            return
        reason = self.hold(connection)
        if reason:
            self.said(reason)
        while reason and not self.stopped():
            self.nap(_ASK_EVERY)
            reason = self.hold(connection)
            if not reason:
                self.said(None)
        self._asked = time.monotonic()

    def nap(self, seconds: float) -> None:
        """Sleeps, unless it is to stop."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.stopped():
            time.sleep(min(left, _NAP))


def _towards(wanted: float, rows: int) -> int:
    """A number of rows that grows step by step; one alone grows, too."""
    return max(min(round(wanted), max(round(rows * 1.25), rows + 1), MOST_ROWS), 1)


def _cost(pages: Iterable[tuple[int, float]]) -> tuple[float, float]:
    """Seconds that a page takes however small it is, and those that each row adds.

    Only the quickest third is looked at: what makes a page slow now and then, a busy machine for instance, is not its
    rows, and pages of a single row would be the end of it.
    """
    ranked = sorted(pages, key=lambda page: page[1] / page[0])
    rows, seconds = zip(*ranked[: max(len(ranked) // 3, 1)], strict=True)
    mean = sum(seconds) / sum(rows)
    if max(rows) < 1.1 * min(rows):
        return 0.0, mean
    each = min(max(linear_regression(rows, seconds).slope, mean / 10), mean)
    return (mean - each) * fmean(rows), each


def held_by(max_lag: float | None, query: str | None) -> Hold | None:
    """What to ask the server: whether replicas lag by more seconds than this, and whether this query says true."""
    if max_lag is None and query is None:
        return None

    def hold(connection: sa.Connection) -> str | None:
        if max_lag is not None and connection.dialect.name == "postgresql":
            lag = connection.exec_driver_sql(LAG).scalar()
            if lag is not None and float(lag) > max_lag:
                return f"a replica is {float(lag):.1f} s behind"
        if query is not None and connection.execute(sa.text(query.replace(":", r"\:"))).scalar():
            return "the throttle query says so"
        return None

    return hold
