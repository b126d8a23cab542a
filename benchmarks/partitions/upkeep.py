"""Upkeep over simulated weeks beside the service: `schema partitions maintain` and pg_partman's `run_maintenance`.

Each week rows arrive, then the maintenance runs once, with the service beside it. In the last weeks a report reads the
log for some seconds meanwhile: a transaction that has read all partitions and stays open.
"""

import datetime as dt
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks import measure
from benchmarks.partitions import data, ours, partman
from benchmarks.partitions.beside import Beside, Waits

REPORT_SECONDS = 3.0
REPORTED_WEEKS = 3
Run = Callable[[str, dt.datetime], object]


def measured(server: measure.DurableServer, rows: int, weeks: int) -> dict[str, Any]:
    """Runs ours, and pg_partman if the server has it.

    Args:
        server: gets a database for each.
        rows: that arrive in a week.
        weeks: how many are simulated, before those with a report.
    """
    ways: dict[str, Run] = {"schema partitions maintain": ours.maintain}
    if partman.is_there(server):
        ways[f"pg_partman {partman.version(server)}"] = lambda url, now: partman.run_maintenance(url, now, ours.KEEP)
    results = [_weeks(server, name, run, rows, weeks) for name, run in ways.items()]
    return {
        "rows a week": rows,
        "weeks": weeks,
        "server": server.major,
        "results": [r for lines in results for r in lines],
    }


def _weeks(server: measure.DurableServer, name: str, run: Run, rows: int, weeks: int) -> list[dict[str, Any]]:
    start = dt.datetime.now(dt.UTC).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    start -= dt.timedelta(days=start.weekday())
    url = data.empty(server)
    if run is ours.maintain:
        data.divide(url, [start, start + dt.timedelta(weeks=1)])
    else:
        data.divide(url, [])
        partman.takes_over(url, start)
    idle, quiet, reported = [], [], []
    with Beside(url, start + dt.timedelta(hours=1)) as service:
        for week in range(weeks + REPORTED_WEEKS):
            now = start + dt.timedelta(weeks=week, days=6)
            data.fill(url, now - dt.timedelta(days=5), now, rows, bulk=False)
            data.analyze(url)
            service.goes_to(now)
            if week < weeks:
                quiet.append(_timed(run, url, now))
                idle.append(_idle(quiet[-1]))
            else:
                with report(url):
                    reported.append(_timed(run, url, now))
            time.sleep(0.2)
    left = data.one(url, f"SELECT count(*) FROM pg_partition_tree('{data.TABLE}') WHERE isleaf")
    server.drop_database(url)
    return [
        _line(name, quiet, service, left),
        _line("  nothing, for as long", idle, service, left),
        _line(f"  beside a report of {REPORT_SECONDS:.0f} s", reported, service, left),
    ]


def _idle(run: tuple[float, float]) -> tuple[float, float]:
    """Waits for as long as a run took: the longer one looks, the longer is the longest wait."""
    began = time.monotonic()
    time.sleep(run[1] - run[0])
    return began, time.monotonic()


def _timed(run: Run, url: str, now: dt.datetime) -> tuple[float, float]:
    began = time.monotonic()
    run(url, now)
    return began, time.monotonic()


@contextmanager
def report(url: str) -> Iterator[None]:
    """Lets a session read all partitions and stay in its transaction for a while."""
    reads = threading.Event()

    def stay() -> None:
        with data.connect(url) as connection, connection.transaction():
            connection.execute(f"SELECT count(*) FROM {data.TABLE}".encode())
            reads.set()
            time.sleep(REPORT_SECONDS)

    thread = threading.Thread(target=stay)
    thread.start()
    reads.wait()
    try:
        yield
    finally:
        thread.join()


def _line(name: str, spans: list[tuple[float, float]], service: Beside, left: int) -> dict[str, Any]:
    waits = [service.waits(*span) for span in spans]
    seconds = [ended - began for began, ended in spans]
    return {
        "way": name,
        "runs": len(spans),
        "median": round(statistics.median(seconds), 2),
        "longest": round(max(seconds), 2),
        "writer": max(wait.writer for wait in waits),
        "reader": max(wait.reader for wait in waits),
        "median wait": round(statistics.median(map(_longest, waits)), 1),
        "partitions": left,
        "failures": service.failures,
    }


def _longest(waits: Waits) -> float:
    return waits.longest


def lines(found: dict[str, Any]) -> list[str]:
    """Returns the lines of the table."""
    title = f"{found['weeks']} weeks, {found['rows a week']:,} rows each, PostgreSQL {found['server']}"
    made = [
        title,
        f"{'':58}{'runs':>6}{'median s':>10}{'longest s':>11}{'writer ms':>11}{'reader ms':>11}{'median ms':>11}",
    ]
    for line in found["results"]:
        numbers = f"{line['runs']:>6}{line['median']:>10.2f}{line['longest']:>11.2f}"
        numbers += f"{line['writer']:>11.0f}{line['reader']:>11.0f}{line['median wait']:>11.0f}"
        made.append(f"  {line['way']:56}{numbers}")
        made += [f"    {failure}" for failure in line["failures"]]
    return made
