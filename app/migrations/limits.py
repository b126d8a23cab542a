"""Limits of time, in seconds: of a statement's waiting and running, and of the tries of a step that meets a lock."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from app.errors import met_a_lock
from app.migrations.errors import MigrationError, refused

_TIMEOUTS = ("statement_timeout", "lock_timeout", "transaction_timeout")
_PRESENT = sa.text("SELECT name FROM pg_settings WHERE name = ANY(:names) ORDER BY 1")
_DEADLOCK = "SELECT extract(epoch FROM current_setting('deadlock_timeout')::interval)"
_CANCELLED = "57014"
_PAUSE_SECONDS = (0.2, 3.0)
_T = TypeVar("_T")


class TableInUse(MigrationError):  # noqa: N818 - a state, rather than a fault
    """A step that was tried again until its time was up: another session kept a lock."""


def limit(connection: sa.Connection, name: str, seconds: float, *, session: bool = False) -> None:
    """Sets a limit of time; 0 is none. Does nothing on SQLite.

    Args:
        connection: in a transaction, unless `session` is set.
        name: of the setting.
        seconds: the limit.
        session: for the whole session, which must be ours alone.
    """
    if connection.dialect.name != "postgresql":
        return
    milliseconds = max(round(seconds * 1000), 1) if seconds else 0
    scope = "false" if session else "true"
    connection.exec_driver_sql(f"SELECT set_config('{name}', '{milliseconds}', {scope})")


def without_limits(connection: sa.Connection, *, session: bool = False) -> None:
    """Takes all limits of time from a transaction, or from a session that is ours alone."""
    for name in _present(connection):
        limit(connection, name, 0, session=session)


def reset_limits(connection: sa.Connection) -> None:
    """Gives a session the limits back that it began with."""
    for name in _present(connection):
        connection.exec_driver_sql(f"RESET {name}")


def deadlock_seconds(connection: sa.Connection) -> float:
    """Returns the wait after which a session looks for a deadlock, or ends an autovacuum in its way."""
    return float(connection.exec_driver_sql(_DEADLOCK).scalar_one())


def took_too_long(error: sa.exc.DBAPIError) -> bool:
    """Returns whether a limit of time ended a statement."""
    return getattr(error.orig, "sqlstate", None) == _CANCELLED


def again_if_locked(work: Callable[[], _T], seconds: float, subject: str, say: Callable[[str], None]) -> _T:
    """Runs a step, and again for a while if it meets another session's lock.

    Args:
        work: the step; it rolls back what it began.
        seconds: how long it is tried.
        subject: what is said to have failed, such as `The adoption`.
        say: told of each pause.

    Raises:
        TableInUse: the lock isn't free in time.
        MigrationError: the database refuses the step.
    """
    deadline, pause = time.monotonic() + seconds, _PAUSE_SECONDS[0]
    while True:
        try:
            return work()
        except sa.exc.DBAPIError as error:
            if not (is_locked := met_a_lock(error)) or time.monotonic() + pause > deadline:
                failure = refused(error, subject)
                raise (TableInUse(str(failure)) if is_locked else failure) from None
            say(f"a table is in use; rolled back, trying again in {pause:.1f} s or less")
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads the tries, hides nothing
            pause = min(pause * 2, _PAUSE_SECONDS[1])


def _present(connection: sa.Connection) -> list[str]:
    """Returns the names of the limits; `transaction_timeout` is there from PostgreSQL 17 on."""
    return list(connection.execute(_PRESENT, {"names": [*_TIMEOUTS]}).scalars())
