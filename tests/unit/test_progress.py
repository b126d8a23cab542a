"""What a run says while it works, on a terminal and in a log."""

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.migrations.run.blockers import Blocker
from app.migrations.run.lock import Holder
from app.migrations.run.reporter import Reporter
from app.migrations.session import Direction, Step
from tests.support.approved_texts import plain

BLOCKER = Blocker(4711, "a report", "idle in transaction", 40, "SELECT [bold]n[/bold] FROM busy")
ERASES = "\x1b[2K"


class Terminal(io.StringIO):
    """Where a person looks."""

    def isatty(self) -> bool:
        return True


@contextmanager
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Standard error is one; not as a fixture, for pytest takes it back before the test begins."""
    with monkeypatch.context() as patch:
        terminal = Terminal()
        patch.setattr(sys, "stderr", terminal)
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", "200")
        yield terminal


def step(direction: Direction = Direction.UPGRADE) -> Step:
    return Step("20260101000000", direction, "Add a table")


def test_a_terminal_shows_the_revision_who_is_in_its_way_and_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_terminal(monkeypatch) as terminal:
        progress = Reporter(live=True)
        progress.before(step())
        progress.blocked(step(), [BLOCKER])
        progress.close()
    shown = terminal.getvalue()
    assert f"upgrade 20260101000000 Add a table, waits for {BLOCKER}" in shown
    assert "0:00:00" in shown
    assert shown.rstrip("\x1b[?25h").endswith(ERASES)  # nothing of it stays


def test_a_terminal_shows_whose_lock_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_terminal(monkeypatch) as terminal:
        progress = Reporter(live=True)
        progress.waiting(Holder("somebody pid 1", None))
        progress.close()
    assert "waiting for another migration: somebody pid 1" in terminal.getvalue()


def test_a_log_has_one_line_for_each_thing_that_happens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "app.migrations")
    progress = Reporter(live=False)
    for holder in (Holder("somebody pid 1", None), Holder("somebody pid 1", None), None, Holder("another pid 2", None)):
        progress.waiting(holder)
    progress.before(step())
    progress.committed(step())
    progress.retrying(step(Direction.DOWNGRADE), [str(BLOCKER)], 0.5)
    progress.retrying(None, [], 10)
    progress.finished(1)
    progress.finished(0)
    blocked = f"couldn't get its locks, held by {plain(str(BLOCKER))}"
    assert [plain(message) for message in caplog.messages] == [
        "waiting for another migration: somebody pid N",
        "waiting for another migration: its holder has just gone",
        "waiting for another migration: another pid N",
        "upgrade 20260101000000 Add a table (N s)",
        f"downgrade 20260101000000 Add a table: {blocked}; rolled back, trying again in 2 s or less",
        "the migration: couldn't get its locks; rolled back, trying again in 11 s or less",
        "nothing to do",
    ]


def test_a_log_names_who_is_in_the_way_once_and_only_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "app.migrations")
    progress = Reporter(live=False)
    other = Blocker(4712, "another", "active", 1, "SELECT ?")
    for blockers in ([[BLOCKER]] * 9 + [[]]) * 2 + [[BLOCKER]] * 30 + [[other]] * 30:
        progress.blocked(step(), blockers)
    assert caplog.messages == [
        f"upgrade 20260101000000 Add a table waits for {blocker}" for blocker in (BLOCKER, other)
    ]
