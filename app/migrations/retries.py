"""Repeats of a step that meets another session's lock."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from app.errors import met_a_lock
from app.migrations.errors import MigrationError, as_migration_error

_PAUSE_SECONDS = (0.2, 3.0)
_T = TypeVar("_T")


class TableInUse(MigrationError):  # noqa: N818 - a state, rather than a fault
    """A step that was tried again until its time was up: another session kept a lock."""


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
                failure = as_migration_error(error, subject)
                assert failure is not None
                raise (TableInUse(str(failure)) if is_locked else failure) from None
            say(f"a table is in use; rolled back, trying again in {pause:.1f} s or less")
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads the tries, hides nothing
            pause = min(pause * 2, _PAUSE_SECONDS[1])
