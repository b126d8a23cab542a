"""Retention: the oldest rows dropped with their partitions, and the same rows deleted; disk, WAL, time and waits."""

import datetime as dt
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks import measure
from benchmarks.partitions import data, ours
from benchmarks.partitions.beside import Beside

WEEKS, KEPT_WEEKS = 18, 14
MEGABYTE = 1_000_000
Work = Callable[[str, dt.datetime], object]


class Way(NamedTuple):
    """A way to be rid of old rows.

    Attributes:
        name: in the table.
        is_partitioned: the table it is tried on.
        run: called with the URL and the moment; None only waits, to show the waits without it.
    """

    name: str
    is_partitioned: bool
    run: Work | None


def _naive(url: str, now: dt.datetime) -> None:
    with data.connect(url) as connection:
        connection.execute(f"DELETE FROM {data.TABLE} WHERE request_time < %s".encode(), [now - ours.KEEP])


def _naive_and_vacuum(url: str, now: dt.datetime) -> None:
    _naive(url, now)
    with data.connect(url) as connection:
        connection.execute(f"VACUUM {data.TABLE}".encode())


WAYS = [
    Way("nothing, for two seconds", True, None),
    Way("partitions dropped (maintain)", True, ours.maintain),
    Way("deleted by pages (maintain, a plain table)", False, ours.maintain),
    Way("one DELETE", False, _naive),
    Way("one DELETE, then VACUUM", False, _naive_and_vacuum),
]


def measured(server: measure.DurableServer, rows: int) -> dict[str, Any]:
    """Tries each way on a database of its own."""
    # The moment is such that the oldest kept row is the first one of a week.
    first = dt.datetime.now(dt.UTC).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    first -= dt.timedelta(weeks=KEPT_WEEKS - 1, days=first.weekday())
    now = first + ours.KEEP
    bounds = [first + dt.timedelta(weeks=number) for number in range(KEPT_WEEKS - WEEKS, KEPT_WEEKS + 5)]
    filled = {True: _filled(server, bounds, now, rows, divided=True), False: _filled(server, bounds, now, rows)}
    return {"rows": rows, "results": [_tried(server, way, filled[way.is_partitioned], now) for way in WAYS]}


def _filled(
    server: measure.DurableServer, bounds: list[dt.datetime], now: dt.datetime, rows: int, *, divided: bool = False
) -> str:
    url = data.empty(server)
    if divided:
        data.divide(url, bounds)
    data.fill(url, bounds[0], now, rows)
    data.settle(url)
    return url


def _tried(server: measure.DurableServer, way: Way, template: str, now: dt.datetime) -> dict[str, Any]:
    url = server.create_database(template)
    try:
        number, size = data.one(url, f"SELECT count(*) FROM {data.TABLE}"), data.total_bytes(url)
        data.settle(url)
        with Beside(url, now) as service:
            free, written, began = server.free_bytes(), data.wal(url), time.monotonic()
            if way.run is None:
                time.sleep(2)
            else:
                way.run(url, now)
            ended = time.monotonic()
            at_once, written = server.free_bytes() - free, data.wal(url) - written
            left = data.total_bytes(url)
        old = data.one(url, f"SELECT count(*) FROM {data.TABLE} WHERE request_time < '{now - ours.KEEP}'")
        gone = number - data.one(url, f"SELECT count(*) FROM {data.TABLE} WHERE request_time < '{now}'")
        waits = service.waits(began, ended)
        return {
            "way": way.name,
            "rows gone": gone,
            "rows left that are too old": old,
            "seconds": round(ended - began, 2),
            "of the table": round((size - left) / MEGABYTE, 1),
            "of the disk": round(at_once / MEGABYTE, 1),
            "wal": round(written / MEGABYTE, 1),
            "writer": waits.writer,
            "reader": waits.reader,
            "failures": service.failures,
        }
    finally:
        server.drop_database(url)


def lines(found: dict[str, Any]) -> list[str]:
    """Returns the lines of the table."""
    head = f"{'':44}{'rows':>10}{'seconds':>9}{'table MB':>10}{'disk MB':>9}{'WAL MB':>8}"
    made = [f"rows older than 90 days, of {found['rows']:,}", f"{head}{'writer ms':>11}{'reader ms':>11}"]
    for line in found["results"]:
        numbers = f"{line['rows gone']:>10,}{line['seconds']:>9.1f}{line['of the table']:>10.0f}"
        numbers += f"{line['of the disk']:>9.0f}{line['wal']:>8.0f}{line['writer']:>11.0f}{line['reader']:>11.0f}"
        made.append(f"  {line['way']:42}{numbers}")
        made += [f"    {failure}" for failure in line["failures"]]
    return made
