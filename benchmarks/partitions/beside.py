"""The service beside the work: a writer and a reader in processes of their own, and how long each statement took.

The writer inserts a log in progress and completes it by its `id`. The reader lists the newest 50, and groups these by
trace. Both send a statement every 2 ms. They are processes, so that the interpreter of the work doesn't stall them.
"""

import datetime as dt
import multiprocessing as mp
import time
from collections.abc import Iterable
from multiprocessing.synchronize import Event
from typing import TYPE_CHECKING, NamedTuple, Self

import psycopg

from benchmarks.partitions import data

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.sharedctypes import Synchronized

PAUSE = 0.002
INSERT = """
INSERT INTO request_logs (request_time, api_key_id, requested_model, provider_id, trace_id, is_completed)
VALUES (%s, 1, 'model 1', 1, gen_random_uuid()::text, false) RETURNING id
"""
UPDATE = """
UPDATE request_logs SET is_completed = true, response_status = 200, output_tokens = 77, total_time_ms = 900
WHERE id = %s
"""
NEWEST = "SELECT id, request_time, requested_model, trace_id FROM request_logs ORDER BY request_time DESC LIMIT 50"
GROUPED = """
SELECT trace_id, count(*), min(id), max(id), sum(total_cost) FROM request_logs
WHERE trace_id = ANY(%s) GROUP BY trace_id ORDER BY max(id) DESC
"""
_SPAWN = mp.get_context("spawn")


class Sample(NamedTuple):
    """One statement: its kind, when it began by the monotonic clock, and its seconds."""

    kind: str
    began: float
    seconds: float


class Waits(NamedTuple):
    """The longest waits in a stretch of time, in milliseconds."""

    writer: float
    reader: float

    @property
    def longest(self) -> float:
        """Returns the longer one."""
        return max(self)


class Beside:
    """Runs the writer and the reader while its context lasts.

    Attributes:
        failures: the first error of each of them.
    """

    def __init__(self, url: str, now: dt.datetime | None = None) -> None:
        self._ends: Event = _SPAWN.Event()
        self._ready = [_SPAWN.Event(), _SPAWN.Event()]
        self._found: Queue[tuple[list[Sample], str]] = _SPAWN.Queue()
        self._ahead: Synchronized[float] = _SPAWN.Value("d", 0.0)
        self._samples: list[Sample] = []
        self.failures: list[str] = []
        if now is not None:
            self.goes_to(now)
        self._processes = [
            _SPAWN.Process(target=work, args=(url, self._ahead, self._ends, ready, self._found), daemon=True)
            for work, ready in zip((_write, _read), self._ready, strict=True)
        ]

    def goes_to(self, now: dt.datetime) -> None:
        """Sets the clock of the writer, naive and UTC; it goes on from there."""
        self._ahead.value = (now - _utc_now()).total_seconds()

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        for ready in self._ready:
            ready.wait(60)
        time.sleep(0.5)  # their plans are cached, their pages read
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for _number in self._processes:
            samples, failure = self._found.get(timeout=120)
            self._samples += samples
            self.failures += [failure] if failure else []
        for process in self._processes:
            process.join(60)

    def waits(self, began: float, ended: float) -> Waits:
        """Returns the longest that a statement of each took between two moments, once the context has ended.

        Of a statement that began earlier or ended later, what lies between them counts.
        """
        within = [
            (sample.kind, min(sample.began + sample.seconds, ended) - max(sample.began, began))
            for sample in self._samples
            if sample.began <= ended and sample.began + sample.seconds >= began
        ]
        return Waits(_longest(within, ("insert", "update")), _longest(within, ("newest", "grouped")))

    @property
    def number(self) -> int:
        """Returns the number of statements that ran."""
        return len(self._samples)


def _longest(waits: Iterable[tuple[str, float]], kinds: tuple[str, ...]) -> float:
    return round(max((seconds * 1000 for kind, seconds in waits if kind in kinds), default=0.0), 1)


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


class _Session:
    """A session that times its statements."""

    def __init__(self, url: str) -> None:
        self.connection = data.connect(url)
        self.samples: list[Sample] = []

    def run(self, kind: str, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Runs a statement, and rests."""
        began = time.monotonic()
        cursor = self.connection.execute(statement.encode(), values)
        rows = cursor.fetchall() if cursor.description else []
        self.samples.append(Sample(kind, began, time.monotonic() - began))
        time.sleep(PAUSE)
        return rows


def _write(
    url: str, ahead: "Synchronized[float]", ends: Event, ready: Event, found: "Queue[tuple[list[Sample], str]]"
) -> None:
    session, failure = _Session(url), ""
    try:
        while not ends.is_set():
            now = _utc_now() + dt.timedelta(seconds=ahead.value)
            (key,) = session.run("insert", INSERT, now)[0]
            session.run("update", UPDATE, key)
            ready.set()
    except psycopg.Error as error:
        failure = f"writer: {str(error).splitlines()[0]}"
    found.put((session.samples, failure))


def _read(
    url: str, _ahead: "Synchronized[float]", ends: Event, ready: Event, found: "Queue[tuple[list[Sample], str]]"
) -> None:
    session, failure = _Session(url), ""
    try:
        while not ends.is_set():
            rows = session.run("newest", NEWEST)
            session.run("grouped", GROUPED, [row[3] for row in rows])
            ready.set()
    except psycopg.Error as error:
        failure = f"reader: {str(error).splitlines()[0]}"
    found.put((session.samples, failure))
