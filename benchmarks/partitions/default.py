"""The price of a DEFAULT partition: what the service waits while one more partition is attached beside it."""

import datetime as dt
import time
from typing import Any

import psycopg

from benchmarks import measure
from benchmarks.partitions import data
from benchmarks.partitions.beside import Beside

NEW = f"{data.TABLE}_new"
_MAKE = [
    f"CREATE TABLE {NEW} (LIKE {data.TABLE} INCLUDING ALL)",
    f"ALTER TABLE {NEW} ADD CHECK (request_time >= '{{low}}' AND request_time < '{{high}}')",
]
_ATTACH = f"ALTER TABLE {data.TABLE} ATTACH PARTITION {NEW} FOR VALUES FROM ('{{low}}') TO ('{{high}}')"
_DETACH = f"ALTER TABLE {data.TABLE} DETACH PARTITION {data.TABLE}_p{{monday:%Y%m%d}} CONCURRENTLY"


def measured(server: measure.DurableServer, rows: int) -> dict[str, Any]:
    """Attaches a partition without a DEFAULT one, beside an empty one, and beside one with rows."""
    return {"rows": rows, "results": [_attached(server, None), _attached(server, 0), _attached(server, rows)]}


def _attached(server: measure.DurableServer, rows: int | None) -> dict[str, Any]:
    monday = dt.datetime.now(dt.UTC).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    monday -= dt.timedelta(days=monday.weekday())
    url = data.empty(server)
    weeks = [monday + dt.timedelta(weeks=number) for number in range(-2, 2)]
    data.divide(url, weeks)
    bounds = {"low": weeks[-1], "high": weeks[-1] + dt.timedelta(weeks=1)}
    with data.connect(url) as connection:
        if rows is not None:
            connection.execute(f"CREATE TABLE {data.TABLE}_default PARTITION OF {data.TABLE} DEFAULT".encode())
        if rows:
            data.fill(url, bounds["high"], bounds["high"] + dt.timedelta(weeks=30), rows, bulk=False)
            data.settle(url)
        for statement in _MAKE:
            connection.execute(statement.format(**bounds).encode())
        with Beside(url) as service:
            began = time.monotonic()
            connection.execute(_ATTACH.format(**bounds).encode())
            ended = time.monotonic()
        waits = service.waits(began, ended)
        try:
            connection.execute(_DETACH.format(monday=weeks[0]).encode())
            detached = "detached concurrently"
        except psycopg.Error as error:
            detached = str(error).splitlines()[0]
    server.drop_database(url)
    name = "no DEFAULT partition" if rows is None else f"a DEFAULT partition with {rows:,} rows"
    return {
        "way": name,
        "ms": round((ended - began) * 1000),
        "writer": waits.writer,
        "reader": waits.reader,
        "detached": detached,
    }


def lines(found: dict[str, Any]) -> list[str]:
    """Returns the lines of the table."""
    made = ["a partition attached", f"{'':44}{'ms':>7}{'writer ms':>11}{'reader ms':>11}  DETACH CONCURRENTLY"]
    for line in found["results"]:
        numbers = f"{line['ms']:>7}{line['writer']:>11.0f}{line['reader']:>11.0f}"
        made.append(f"  {line['way']:42}{numbers}  {line['detached']}")
    return made
