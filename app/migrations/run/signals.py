"""Ctrl-C and SIGTERM, with which container platforms stop a process: a run that gets one rolls back, and says so."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import sqlalchemy as sa

from app import server_session

_SQLITE_STEPS = 100_000
_received: list[int] | None = None


@contextmanager
def interruptible() -> Iterator[None]:
    """Lets both signals raise KeyboardInterrupt for as long as the context lasts.

    Used by command lines only. Does nothing outside the main thread, where Python delivers no signals.
    """
    global _received  # noqa: PLW0603 - signals are the process's, too
    if _received is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    _received = []
    try:
        yield
    finally:
        _received = None
        for number, handler in before.items():
            signal.signal(number, handler)


def listening() -> bool:
    """Returns whether a command line gets one line, rather than a caller KeyboardInterrupt."""
    return _received is not None


def came() -> bool:
    """Returns whether a signal came; a driver may have made another error of it."""
    return bool(_received)


def hear_during_statements(connection: sa.Connection) -> None:
    """Makes SQLite's statements call back, so that a signal ends them; psycopg does so by itself."""
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(came, _SQLITE_STEPS)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    if _received is not None:
        _received.append(number)
    raise KeyboardInterrupt


def meant(caught: BaseException, connection: sa.Connection) -> BaseException:
    """Returns the error that what was caught stands for; ends the statement that a signal left unanswered."""
    if came():
        server_session.end_statement(connection)
        return KeyboardInterrupt()  # SQLite makes another error of it
    if isinstance(caught, SystemExit) and listening():  # else the command would end with its code, even 0
        return RuntimeError("the revision calls sys.exit()").with_traceback(caught.__traceback__)
    return caught
