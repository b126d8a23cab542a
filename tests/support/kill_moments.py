"""Kills a command at its n-th moment: `KILL_AT` says which, `MOMENTS` names the file to count them in.

Moments are those before and after each commit, and those after each statement outside of a transaction. Within one
there is none: a process that dies there leaves what was there before it. Files have moments of their own: before each
one is written to the disk, and before and after it gets its name.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

_READS = ("SELECT", "PRAGMA", "WITH", "SHOW")


class _Moments:
    def __init__(self) -> None:
        self.passed = 0
        self.has_committed = False

    def commit(self, _connection: Any) -> None:
        """Counts the moment before a commit."""
        self._count()
        self.has_committed = True

    def before(self, *_: Any) -> None:
        """Counts the moment after a commit, when the next statement comes."""
        if self.has_committed:
            self.has_committed = False
            self._count()

    def after(self, connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        """Counts the moment after a statement that commits itself."""
        is_alone = connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
        if is_alone and statement.split(maxsplit=1)[0].upper() not in _READS:
            self._count()

    def file(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps a function on files: it counts the moments before and after it."""

        def counted(*args: Any) -> Any:
            self._count()
            result = work(*args)
            self._count()
            return result

        return counted

    def _count(self) -> None:
        self.passed += 1
        if str(self.passed) == os.environ.get("KILL_AT"):
            os.kill(os.getpid(), signal.SIGKILL)
        if "MOMENTS" in os.environ:
            Path(os.environ["MOMENTS"]).write_text(str(self.passed), encoding="ascii")


def install() -> None:
    """Counts the moments of this process, and kills it at the given one."""
    moments = _Moments()
    os.fsync = moments.file(os.fsync)
    Path.replace = moments.file(Path.replace)  # type: ignore[method-assign] # for this process alone
    sa.event.listen(sa.Engine, "commit", moments.commit)
    sa.event.listen(sa.Engine, "before_cursor_execute", moments.before)
    sa.event.listen(sa.Engine, "after_cursor_execute", moments.after)
