"""One command of Alembic's at a time in a process: it keeps the one at work in globals, which threads would share."""

import inspect
import threading
from typing import Any

from alembic import command
from alembic.runtime.environment import EnvironmentContext

from app.migrations.errors import LockNotObtained

WAIT_SECONDS = 60.0
BUSY = (
    "Another thread of this process is running one of Alembic's commands, and there can be one at a time. {} "
    "Let the threads take turns, or give each command a process."
)

# Held during a command; a command that runs another in its thread takes it again.
process = threading.RLock()

_enter, _exit = EnvironmentContext.__enter__, EnvironmentContext.__exit__
_remove = EnvironmentContext._remove_proxy  # noqa: SLF001 - has no public name


def take_turns() -> None:
    """Lets the threads of this process run Alembic's commands one after the other, from now on.

    A thread that waits for longer than a minute gets a `LockNotObtained`.
    """
    EnvironmentContext.__enter__ = _enter_in_turn  # type: ignore[method-assign]
    EnvironmentContext.__exit__ = _exit_in_turn  # type: ignore[method-assign]
    EnvironmentContext._remove_proxy = _remove_own_proxy  # type: ignore[assignment,method-assign] # noqa: SLF001 - as above


def require_own(context: EnvironmentContext) -> None:
    """Raises `LockNotObtained` if `context` stands for the command of another thread.

    That can be so only for commands that began before `take_turns`: the first ones of a process.
    """
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename != command.__file__:
        frame = frame.f_back
    own = frame.f_locals.get("config") if frame is not None else None
    if own is not None and context.config is not own:
        raise LockNotObtained(BUSY.format("Both began at the same moment; this one has done nothing."))


def _enter_in_turn(self: EnvironmentContext) -> EnvironmentContext:
    if not process.acquire(timeout=WAIT_SECONDS):
        raise LockNotObtained(BUSY.format(f"Waited {WAIT_SECONDS:g} s for it; nothing was done."))
    try:
        return _enter(self)
    except BaseException:
        process.release()
        raise


def _exit_in_turn(self: EnvironmentContext, *error: Any) -> None:
    try:
        _exit(self, *error)
    finally:
        process.release()


def _remove_own_proxy(self: EnvironmentContext) -> None:
    _, modules = self._setups[EnvironmentContext]
    if all(globals_.get("_proxy") is self for globals_, _ in modules):
        _remove(self)
