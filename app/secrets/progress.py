"""How far a long piece of work is: a bar on a terminal, a line now and then in a log, JSON for machines."""

import json
import logging
import time
from contextlib import suppress
from typing import Any, Literal

Style = Literal["terminal", "plain", "json"]

EVERY = 10.0

log = logging.getLogger("app.migrations")


class Counting:
    """Counts rows and tells how many there are, how fast they go by and how long it will take.

    Args:
        style: for whom.
    """

    def __init__(self, style: Style) -> None:
        self._style = style
        self._what = ""
        self._total = 0
        self._before = 0
        self._seen = 0
        self._started = self._told = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def begin(self, what: str, total: int) -> None:
        """Begins to count the rows of something; the total is an estimate, 0 if nothing is known."""
        self.close()
        self._what, self._total, self._before, self._seen = what, total, 0, 0
        self._started = self._told = time.monotonic()
        if self._style == "terminal":
            self._show()

    def rows(self, seen: int) -> None:
        """Says how many rows were seen; fewer than before is another walk."""
        if seen < self._seen:
            self._before += self._seen
        self._seen = seen
        if self._bar is not None:
            self._bar.update(self._task, completed=min(seen, self._total) if self._total else seen)
        elif time.monotonic() >= self._told + EVERY:
            self._told = time.monotonic()
            self._say()

    def note(self, text: str | None) -> None:
        """Says that something is waited for, and why; None when it goes on."""
        text = f"{self._what}: waiting, {text}" if text else f"{self._what}: going on"
        if self._bar is not None:
            self._bar.console.print(text)
        else:
            log.info("%s", json.dumps({"event": "note", "text": text}) if self._style == "json" else text)

    def close(self) -> None:
        """Leaves the terminal as it was."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.stop()
            self._bar = None

    def _say(self) -> None:
        seconds = time.monotonic() - self._started
        rate = (self._before + self._seen) / max(seconds, 1e-6)
        left = max(self._total - self._seen, 0) / rate if rate and self._total else None
        if self._style == "json":
            values = {"event": "progress", "of": self._what, "rows": self._seen, "total": self._total or None}
            values |= {"rows_per_second": round(rate), "seconds_left": None if left is None else round(left)}
            log.info("%s", json.dumps(values))
            return
        total = f" of about {self._total:,}" if self._total else ""
        ends = "" if left is None else f", {left:,.0f} s left"
        log.info("%s: %s%s rows, %s a second%s", self._what, f"{self._seen:,}", total, f"{rate:,.0f}", ends)

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        rate = TextColumn("{task.speed:,.0f} rows/s")
        self._bar = Progress(*columns, rate, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(self._what, total=self._total or None)
        self._bar.start()
