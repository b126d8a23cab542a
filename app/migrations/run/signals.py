"""Ctrl-C and SIGTERM, which container platforms stop a process with: a run told to end rolls back, and says so."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import sqlalchemy as sa

_SQLITE_STEPS = 100_000
_heard: list[int] | None = None


@contextmanager
def heard() -> Iterator[None]:
    """Lets both signals raise KeyboardInterrupt for as long as the context lasts: what a command line wants.

    In process a caller's own handlers stay, for nobody asks for this; nor does it do anything in another thread than
    the main one, which alone hears signals.
    """
    global _heard  # noqa: PLW0603 - signals are the process's, too
    if _heard is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    _heard = []
    try:
        yield
    finally:
        _heard = None
        for number, handler in before.items():
            signal.signal(number, handler)


def listening() -> bool:
    """Whether a command line is to be told in one line, rather than a caller by KeyboardInterrupt."""
    return _heard is not None


def came() -> bool:
    """Whether the run was told to end; a driver may have made another error of that."""
    return bool(_heard)


def hear_during_statements(connection: sa.Connection) -> None:
    """SQLite hears signals only when a statement that runs calls back; psycopg does so by itself."""
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(came, _SQLITE_STEPS)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    if _heard is not None:
        _heard.append(number)
    raise KeyboardInterrupt
