"""Patience with the locks of other sessions: what met one is done again until it succeeds."""

import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

SECONDS = 30.0
NAP_SECONDS = 0.05

_LOCKED = {"55P03", "40P01", "57014", "40001"}  # lock not available, deadlock, statement timeout, serialization
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

T = TypeVar("T")


def is_locked(error: sa.exc.DBAPIError) -> bool:
    """Returns whether a lock of another session on rows or a table caused an error of PostgreSQL."""
    return getattr(error.orig, "sqlstate", None) in _LOCKED


def is_busy(error: sa.exc.DBAPIError) -> bool:
    """Returns whether another writer of a whole SQLite database caused an error."""
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _BUSY


def patiently(connection: sa.Connection, read: Callable[[], T]) -> T:
    """Reads, and on a connection in AUTOCOMMIT reads again while that meets a lock, for half a minute.

    Raises:
        DBAPIError: the last error.
    """
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return read()
        except sa.exc.DBAPIError as error:
            # A transaction of PostgreSQL ends with its first error.
            repeats = connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
            if not repeats or not (is_locked(error) or is_busy(error)) or time.monotonic() > deadline:
                raise
        time.sleep(NAP_SECONDS)
