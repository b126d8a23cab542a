"""Conversion of a plain table with its rows, beside the service: the time of each step, and the waits in it."""

import datetime as dt
import logging
import re
import time
from collections.abc import Callable
from typing import Any

from benchmarks import measure
from benchmarks.partitions import data, ours
from benchmarks.partitions.beside import Beside

DAYS = 60
MEGABYTE = 1_000_000
LOCKED = re.compile(r"locked for (\d+) ms")
AROUND = 0.01  # seconds, for waiting and for committing


class Steps(logging.Handler):
    """Keeps what the engine says, with the moment."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.said: list[tuple[float, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line."""
        self.said.append((time.monotonic(), record.getMessage()))


def measured(server: measure.DurableServer, rows: int) -> dict[str, Any]:
    """Fills a plain table, converts it, and undoes it."""
    url = data.empty(server)
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    data.fill(url, now - dt.timedelta(days=DAYS), now, rows)
    data.settle(url)
    size, planned = data.total_bytes(url), time.monotonic()
    ours.plan(url)
    planned = time.monotonic() - planned
    return {
        "rows": rows,
        "size": round(size / MEGABYTE),
        "plan": round(planned, 2),
        "ways": [_beside(url, "enable", ours.enable), _beside(url, "enable --undo", ours.undo)],
    }


def _beside(url: str, name: str, run: Callable[[str], float]) -> dict[str, Any]:
    """Runs a conversion with the service beside it."""
    before, size = data.files(url), data.total_bytes(url)
    steps, log = Steps(), logging.getLogger("app.migrations")
    log.addHandler(steps)
    log.setLevel(logging.INFO)
    try:
        with Beside(url) as service:
            quiet = time.monotonic()
            time.sleep(2)
            written, began = data.wal(url), time.monotonic()
            swap = run(url)
            ended = time.monotonic()
            written = data.wal(url) - written
    finally:
        log.removeHandler(steps)
    spans = _spans(steps.said, began, ended)
    return {
        "way": name,
        "grown": round((data.total_bytes(url) - size) / MEGABYTE),
        "wal": round(written / MEGABYTE),
        "seconds": round(ended - began, 2),
        "swap": round(swap * 1000, 1),
        "statements": service.number,
        "failures": service.failures,
        "same file": [table for table, file in data.files(url).items() if file in before.values()],
        "steps": [
            {"step": "nothing, for two seconds", "seconds": 2.0, **service.waits(quiet, quiet + 2)._asdict()},
            *(
                {"step": text, "seconds": round(end - start, 2), **service.waits(start, end)._asdict()}
                for start, end, text in [*spans, (began, ended, "all of it")]
            ),
        ],
    }


def _spans(said: list[tuple[float, str]], began: float, ended: float) -> list[tuple[float, float, str]]:
    """Returns the stretches of time, each with the line that was said before it, or after it where that tells more."""
    spans, last, doing = [], began, "a look at the table, the lock of the migrations"
    for moment, text in [*said, (ended, "")]:
        if moment < began:
            continue
        if match := LOCKED.search(text):
            swap = max(last, moment - int(match[1]) / 1000 - AROUND)
            spans += [(last, swap, doing), (swap, moment, text)]
            doing = "the lock is let go, a look at the table"
        elif ": made " in text:
            spans.append((last, moment, text))
        else:
            spans.append((last, moment, doing))
            doing = text
        last = moment
    return spans


def lines(found: dict[str, Any]) -> list[str]:
    """Returns the lines of the table."""
    made = [f"{found['rows']:,} rows, {found['size']:,} MB; the plan took {found['plan']:.1f} s"]
    for way in found["ways"]:
        same = ", ".join(way["same file"]) or "none"
        made += [
            "",
            f"{way['way']:72}{'seconds':>9}{'writer ms':>11}{'reader ms':>11}",
            *(
                f"  {step['step'][:68]:70}{step['seconds']:>9.2f}{step['writer']:>11.0f}{step['reader']:>11.0f}"
                for step in way["steps"]
            ),
            f"  tables locked for {way['swap']:.0f} ms; {way['statements']:,} statements beside",
            f"  tables whose file is the one of before: {same}; grown by {way['grown']} MB, WAL {way['wal']} MB",
            *(f"    {failure}" for failure in way["failures"]),
        ]
    return made
