"""Conversion of a plain table with its rows, beside the service: the time of each step, and the waits in it."""

import datetime as dt
import logging
import time
from typing import Any

from benchmarks import measure
from benchmarks.partitions import data, ours
from benchmarks.partitions.beside import Beside

DAYS = 60
MEGABYTE = 1_000_000


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
    before, size = data.files(url), data.total_bytes(url)
    steps, log = Steps(), logging.getLogger("app.migrations")
    log.addHandler(steps)
    log.setLevel(logging.INFO)
    planned = time.monotonic()
    ours.plan(url)
    planned = time.monotonic() - planned
    with Beside(url) as service:
        quiet = time.monotonic()
        time.sleep(2)
        written, began = data.wal(url), time.monotonic()
        swap = ours.enable(url)
        ended = time.monotonic()
        written = data.wal(url) - written
    log.removeHandler(steps)
    after, grown = data.files(url), data.total_bytes(url)
    kept = {name: file for name, file in after.items() if file in before.values()}
    return {
        "rows": rows,
        "size": round(size / MEGABYTE),
        "grown": round((grown - size) / MEGABYTE),
        "wal": round(written / MEGABYTE),
        "plan": round(planned, 2),
        "seconds": round(ended - began, 2),
        "swap": round(swap * 1000, 1),
        "statements": service.number,
        "failures": service.failures,
        "same file": sorted(kept) if kept else [],
        "steps": [
            {"step": "nothing, for two seconds", "seconds": 2.0, **service.waits(quiet, quiet + 2)._asdict()},
            *(
                {"step": text, "seconds": round(end - start, 2), **service.waits(start, end)._asdict()}
                for start, end, text in _spans(steps.said, began, ended)
            ),
        ],
    }


def _spans(said: list[tuple[float, str]], began: float, ended: float) -> list[tuple[float, float, str]]:
    """Returns the stretches that end with a line each."""
    spans, last = [], began
    for moment, text in said:
        if moment >= began:
            spans.append((last, moment, text))
            last = moment
    return [*spans, (last, ended, "the end")]


def lines(found: dict[str, Any]) -> list[str]:
    """Returns the lines of the table."""
    same = ", ".join(found["same file"]) or "none"
    made = [
        f"conversion of {found['rows']:,} rows, {found['size']:,} MB",
        f"  {found['seconds']:.1f} s, the swap {found['swap']:.0f} ms, the plan {found['plan']:.1f} s",
        f"  files of the table that are still the same: {same}; grown by {found['grown']} MB, WAL {found['wal']} MB",
        f"{'':72}{'seconds':>9}{'writer ms':>11}{'reader ms':>11}",
    ]
    made += [
        f"  {step['step'][:68]:70}{step['seconds']:>9.2f}{step['writer']:>11.0f}{step['reader']:>11.0f}"
        for step in found["steps"]
    ]
    return [*made, *(f"    {failure}" for failure in found["failures"])]
