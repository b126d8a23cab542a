"""Pacing of a long change: the size of a page, the rest after it, and the waits for a busy server."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import sqlalchemy as sa

from app.backfill import patience

PAGE_ROWS = 100
MOST_ROWS = 4000
TARGET_SECONDS = 0.02
STOP_SECONDS = 1.0  # a stop is noticed between two pages, so a page may take no longer
_ASK_SECONDS = 1.0
_NAP_SECONDS = 0.2

# Replicas that have fallen behind, in seconds; NULL where there are none, or where the role may not see them.
LAG = "SELECT extract(epoch FROM max(replay_lag)) FROM pg_stat_replication"


def _never() -> bool:
    return False


def _ignore(_reason: str | None) -> None: ...


@dataclass
class Pace:
    """Adapts the rows of a page to the time that it takes, and rests between pages.

    Attributes:
        rows: rows of the next page that is read.
        target: seconds that writing a page should take; 0 keeps `rows` as it is.
        pause: rest after each page, as a multiple of the time that it took.
        max_lag: waits while a replica is further behind, in seconds.
        throttle_query: waits while this query returns something true.
        patience: seconds for which a page that meets a lock is tried again.
        stopped: asked whether to end after this page.
        on_wait: called with the reason when a wait begins, and with None when it ends.
        writes: rows of a transaction; a larger page is written in several.
        longest: seconds of the longest transaction so far.
    """

    rows: int = PAGE_ROWS
    target: float = TARGET_SECONDS
    pause: float = 0.0
    max_lag: float | None = None
    throttle_query: str | None = None
    patience: float = patience.SECONDS
    stopped: Callable[[], bool] = _never
    on_wait: Callable[[str | None], None] = _ignore
    writes: int = field(init=False)
    longest: float = field(default=0.0, init=False)
    _asked_at: float = field(default=0.0, init=False)
    _pages: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=12), init=False)

    def __post_init__(self) -> None:
        self.writes = self.rows

    def begin_with(self, rows: int | None) -> None:
        """Takes the page that another worker found right, unless there has been one here."""
        if rows is not None and self.target and not self._pages:
            self.rows = self.writes = max(min(rows, MOST_ROWS), 1)

    def wrote(self, rows: int, seconds: float) -> None:
        """Doubles the page if it took less than half its time, and halves it if it took too long twice in a row."""
        self.longest = max(self.longest, seconds)
        if not self.target or rows * 2 < self.writes:  # a page with few writes says nothing of a full one
            return
        first = not self._pages
        self._pages.append((self.writes, seconds))
        quick, slow = seconds <= self.target, self._was_slow_twice()
        # Where the commit takes the time, fewer rows would not help. Ten times the target is too long all the same.
        free = (quick or slow) and seconds <= 10 * self.target and self._rows_cost_nothing()
        if seconds * 2 <= self.target or (first and quick) or free:
            self.writes = min(self.writes * 2, MOST_ROWS)
        elif slow:
            self.writes = max(self.writes // 2, 1)
        self.rows = self.writes

    def worked(self, written: int, made: int, seconds: float) -> None:
        """Reads more after a page with few writes, and less if the new values of `made` rows took long to make."""
        if self.target and written * 2 < self.writes:
            self.rows = min(self.rows * 2, MOST_ROWS)
        if self.target and seconds > STOP_SECONDS:
            self.rows = max(min(self.rows, int(made * STOP_SECONDS / seconds)), 1)

    def met_a_lock(self) -> None:
        """Halves the page."""
        if self.target:
            self.rows = self.writes = max(self.writes // 2, 1)

    def rest(self, connection: sa.Connection, worked: float) -> None:
        """Rests after a page that took `worked` seconds, and for as long as the server asks to wait."""
        self.nap(worked * self.pause)
        if time.monotonic() < self._asked_at + _ASK_SECONDS:
            return
        if reason := self.wait_reason(connection):
            self.on_wait(reason)
        while reason and not self.stopped():
            self.nap(_ASK_SECONDS)
            reason = self.wait_reason(connection)
            if not reason:
                self.on_wait(None)
        self._asked_at = time.monotonic()

    def nap(self, seconds: float) -> None:
        """Sleeps, and wakes up early if the work is to stop."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.stopped():
            time.sleep(min(left, _NAP_SECONDS))

    def wait_reason(self, connection: sa.Connection) -> str | None:
        """Asks the server whether to wait; returns the reason, or None."""
        if self.max_lag is not None and connection.dialect.name == "postgresql":
            lag = connection.exec_driver_sql(LAG).scalar()
            if lag is not None and float(lag) > self.max_lag:
                return f"a replica is {float(lag):.1f} s behind"
        query = self.throttle_query
        if query is not None and connection.execute(sa.text(query.replace(":", r"\:"))).scalar():
            return "the throttle query says so"
        return None

    def _was_slow_twice(self) -> bool:
        # One slow page may be the fault of a busy machine; two of the same size aren't.
        latest = [*self._pages][-2:]
        return len(latest) > 1 and all(rows == self.writes and seconds > self.target for rows, seconds in latest)

    def _rows_cost_nothing(self) -> bool:
        # Pages of about half or twice the size took as long.
        quickest: dict[int, float] = {}
        for rows, seconds in self._pages:
            quickest[rows] = min(seconds, quickest.get(rows, seconds))
        sizes = sorted(quickest)
        place = min(sizes.index(self.writes), len(sizes) - 2)
        return place >= 0 and quickest[sizes[place]] > 0.9 * quickest[sizes[place + 1]]
