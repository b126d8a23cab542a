"""Progress of a long job: a bar on a terminal, a line now and then in a log, JSON for machines."""

import json
import logging
import time
from contextlib import suppress
from typing import Any, Literal

Style = Literal["terminal", "plain", "json"]

LOG_SECONDS = 10.0

log = logging.getLogger("app.migrations")  # the command line shows what this logger says


class Progress:
    """Shows rows read, rows per second and the time left.

    Args:
        style: the reader: a terminal, a log or a machine.
    """

    def __init__(self, style: Style = "plain") -> None:
        self._style = style
        self._bar: Any = None

    def begin(self, table: str, total: int) -> None:
        """Starts with a table; `total` estimates its rows, and is 0 if nothing is known."""
        self.close()
        self.table, self._total, self._earlier, self._rows = table, total, 0, 0
        self._started = self._logged = time.monotonic()
        if self._style == "terminal":
            self._show_bar()

    def rows(self, rows: int) -> None:
        """Takes the number of rows read; fewer than before begin another pass."""
        if rows < self._rows:
            self._earlier += self._rows
        self._rows = rows
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=min(rows, self._total) if self._total else rows)
        elif time.monotonic() >= self._logged + LOG_SECONDS:
            self._logged = time.monotonic()
            self._log()

    def wait(self, reason: str | None) -> None:
        """Shows that the job waits, and the reason; None shows that it goes on."""
        text = f"{self.table}: waiting, {reason}" if reason else f"{self.table}: going on"
        if self._bar is not None:
            self._bar.console.print(text)
        else:
            log.info("%s", json.dumps({"event": "note", "text": text}) if self._style == "json" else text)

    def close(self) -> None:
        """Removes the bar from the terminal."""
        if self._bar is not None:
            with suppress(OSError):  # the terminal may be gone
                self._bar.stop()
            self._bar = None

    def _log(self) -> None:
        seconds = time.monotonic() - self._started
        rate = (self._earlier + self._rows) / max(seconds, 1e-6)
        left = max(self._total - self._rows, 0) / rate if rate and self._total else None
        if self._style == "json":
            values = {"event": "progress", "of": self.table, "rows": self._rows, "total": self._total or None}
            values |= {"rows_per_second": round(rate), "seconds_left": None if left is None else round(left)}
            log.info("%s", json.dumps(values))
            return
        total = f" of about {self._total:,}" if self._total else ""
        end = "" if left is None else f", {left:,.0f} s left"
        log.info("%s: %s%s rows, %s a second%s", self.table, f"{self._rows:,}", total, f"{rate:,.0f}", end)

    def _show_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        rate = TextColumn("{task.speed:,.0f} rows/s")
        self._bar = Progress(*columns, rate, console=Console(stderr=True), transient=True)
        self._bar.add_task(self.table, total=self._total or None)
        self._bar.start()
