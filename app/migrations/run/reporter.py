"""The lines of a run: one for each thing that happens, on standard error.

On a terminal the line of the revision at work counts the seconds, and names the sessions in its way; a log gets a line
when it begins to wait or to try again, and one when it is done. In process the same lines go to the logger
`app.migrations` and nowhere else.
"""

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from app.migrations.guard import Guard
from app.migrations.run.ledger import Entry
from app.migrations.run.lock import Holder
from app.migrations.session import Step

if TYPE_CHECKING:
    from rich.progress import Progress

    from app.migrations.run.blockers import Blocker

log = logging.getLogger("app.migrations")

# A statement that is blocked for longer than lock time-outs usually last: some four seconds.
_LOOKS = 10


class Reporter(Guard):
    """Reports on a run.

    Args:
        live: a terminal watches: show what is going on between two lines too.
    """

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._screen: Any = None
        self._progress: Progress | None = None
        self._blockers: list[int] = []
        self._looks = 0
        self._last_holder: Holder | None = None
        self._waits = False
        self._started = 0.0

    def waiting(self, holder: Holder | None) -> None:
        """Reports that the lock isn't free."""
        if not self._waits or holder != self._last_holder:
            text = f"waiting for another migration: {holder or 'its holder has just gone'}"
            log.info("%s", text)
            self._show(text)
        self._waits, self._last_holder = True, holder

    def crashed(self, entry: Entry) -> None:
        """Reports a run that ended without a word."""
        log.warning("%s was left unfinished by a run that crashed (%s)", entry.revision, entry.by)

    def note(self, text: str) -> None:
        """Reports something that the operator should know."""
        self.close()
        log.warning("%s", text)

    def before(self, step: Step) -> None:
        """Shows the step that is about to run."""
        self._started = time.monotonic()
        self._show(str(step))

    def blocked(self, step: Step | None, blockers: "list[Blocker]") -> None:
        """Shows the sessions in the way of a statement; called every now and then, from another thread."""
        if self._progress is not None:
            waits = f", waits for {'; '.join(map(str, blockers))}" if blockers else ""
            self._progress.update(self._progress.task_ids[0], description=f"{_name(step)}{waits}")
            return
        pids = [blocker.pid for blocker in blockers]
        self._looks = self._looks + 1 if pids == self._blockers else 1
        self._blockers = pids
        if pids and self._looks == _LOOKS:
            log.info("%s waits for %s", _name(step), "; ".join(map(str, blockers)))

    def committed(self, step: Step) -> None:
        """Reports a step that is done; until its commit it can still fail."""
        self.close()
        log.info("%s (%.2f s)", step, time.monotonic() - self._started)

    def retrying(self, step: Step | None, blockers: list[str], pause: float, *, kept: bool = False) -> None:
        """Reports a revision that met a lock and was rolled back, except for what is `kept`."""
        self.close()
        held = f", held by {'; '.join(blockers)}" if blockers else ""
        left = "what it had finished is kept" if kept else "rolled back"
        text = "%s: couldn't get its locks%s; %s, trying again in %.0f s or less"
        log.info(text, _name(step), held, left, pause + 1)

    def finished(self, steps: int, stopped: str = "") -> None:
        """Reports the end of all steps, or the line on a stop before a later phase."""
        self.close()
        if stopped:
            log.info("%s", stopped)
        elif not steps:
            log.info("nothing to do")

    def _show(self, text: str) -> None:
        if self._live:
            from rich.console import Console
            from rich.live import Live
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            self.close()
            # As it stands: square brackets in a statement aren't markup.
            self._progress = Progress(
                SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
            )
            self._progress.add_task(text, total=None)
            self._screen = Live(self._progress, console=Console(stderr=True), transient=True)
            self._screen.start()

    def close(self) -> None:
        """Leaves the terminal as it was."""
        if self._screen is not None:
            with suppress(OSError):
                self._screen.stop()
            self._screen = self._progress = None


class Silent(Reporter):
    """Reports nothing: what happens to a scratch database is of no interest."""

    def __init__(self) -> None:
        super().__init__(live=False)

    def note(self, text: str) -> None:
        """Drops it."""

    def committed(self, step: Step) -> None:
        """Drops it."""


def _name(step: Step | None) -> str:
    return "the migration" if step is None else str(step)
