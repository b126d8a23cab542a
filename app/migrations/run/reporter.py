"""What a run says while it works: one line for each thing that happens, on standard error.

On a terminal the line of the revision at work counts the seconds, and names who is in its way; in a log there is a line
when it begins to wait or to try again, and one when it is done. In process the same lines go to the logger
`app.migrations` and nowhere else.
"""

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from app.migrations.run.ledger import Entry
from app.migrations.run.lock import Holder
from app.migrations.session import Step

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from app.migrations.run.blockers import Blocker

log = logging.getLogger("app.migrations")


# A statement that is blocked for longer than lock timeouts usually last: some four seconds.
_LOOKS = 10


class Reporter:
    """Tells what happens.

    Args:
        live: a terminal watches: show what is going on between two lines too.
    """

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._status: Any = None
        self._bars: Bars | None = None
        self._blockers: list[int] = []
        self._looks = 0
        self._last_holder: Holder | None = None
        self._waits = False

    def waiting(self, holder: Holder | None) -> None:
        """The lock isn't free."""
        if not self._waits or holder != self._last_holder:
            log.info("waiting for another migration: %s", holder or "its holder has just gone")
            self._show(f"waiting for another migration: {holder or 'its holder has just gone'}")
        self._waits, self._last_holder = True, holder

    def crashed(self, entry: Entry) -> None:
        """An earlier run ended without a word."""
        log.warning("%s was left unfinished by a run that crashed (%s)", entry.revision, entry.by)

    def note(self, text: str) -> None:
        """Something that the operator should know."""
        self._clear()
        log.warning("%s", text)

    def begins(self, step: Step | None) -> None:
        """A revision is about to run."""
        self._show(_name(step))

    def blocked(self, step: Step | None, blockers: "list[Blocker]") -> None:
        """Who is in the way of a revision's statement; called every now and then, from another thread."""
        if self._bars is not None:
            waits = f", waits for {'; '.join(map(str, blockers))}" if blockers else ""
            self._bars.update(self._bars.task_ids[0], description=f"{_name(step)}{waits}")
            return
        pids = [blocker.pid for blocker in blockers]
        self._looks = self._looks + 1 if pids == self._blockers else 1
        self._blockers = pids
        if pids and self._looks == _LOOKS:
            log.info("%s waits for %s", _name(step), "; ".join(map(str, blockers)))

    def ended(self, step: Step | None, seconds: float) -> None:
        """A revision has run, and is about to be committed."""
        self._clear()
        log.info("%s (%.2f s)", _name(step), seconds)

    def retrying(self, step: Step | None, blockers: list[str], pause: float) -> None:
        """A revision met a lock and was rolled back."""
        self._clear()
        held = f", held by {'; '.join(blockers)}" if blockers else ""
        log.info(
            "%s: couldn't get its locks%s; rolled back, trying again in %.0f s or less", _name(step), held, pause + 1
        )

    def finished(self, steps: int) -> None:
        """All steps are done."""
        self._clear()
        if not steps:
            log.info("nothing to do")

    def close(self) -> None:
        """Leaves the terminal as it was."""
        self._clear()

    def _show(self, text: str) -> None:
        if self._live:
            from rich.console import Console
            from rich.live import Live
            from rich.progress import Progress as Bars
            from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

            self._clear()
            # As it stands: what is in brackets in a statement isn't markup.
            bars = Bars(SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
            bars.add_task(text, total=None)
            self._status = Live(bars, console=Console(stderr=True), transient=True)
            self._status.start()
            self._bars = bars

    def _clear(self) -> None:
        if self._status is not None:
            with suppress(OSError):
                self._status.stop()
            self._status = self._bars = None


class Silent(Reporter):
    """Tells nothing: what happens to a scratch database is of no interest."""

    def __init__(self) -> None:
        super().__init__(live=False)

    def note(self, text: str) -> None:
        """Says nothing."""

    def ended(self, step: Step | None, seconds: float) -> None:
        """Says nothing."""


def _name(step: Step | None) -> str:
    return "the migration" if step is None else str(step)
