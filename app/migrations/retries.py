"""Repeats of a step that meets another session's lock."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from app.errors import met_a_lock
from app.migrations.errors import refused

_PAUSE_SECONDS = (0.2, 3.0)
_T = TypeVar("_T")


def again_if_locked(work: Callable[[], _T], seconds: float, subject: str, say: Callable[[str], None]) -> _T:
    """Runs a step, and again for a while if it meets another session's lock.

    Args:
        work: the step; it rolls back what it began.
        seconds: how long it is tried.
        subject: what is said to have failed, such as `The adoption`.
        say: told of each pause.

    Raises:
        MigrationError: the database refuses the step, or the lock isn't free in time.
    """
    deadline, pause = time.monotonic() + seconds, _PAUSE_SECONDS[0]
    while True:
        try:
            return work()
        except sa.exc.DBAPIError as error:
            if not met_a_lock(error) or time.monotonic() + pause > deadline:
                raise refused(error, subject) from None
            say(f"a table is in use; rolled back, trying again in {pause:.1f} s or less")
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads the tries, hides nothing
            pause = min(pause * 2, _PAUSE_SECONDS[1])
