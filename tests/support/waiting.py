"""Waits for a condition."""

import time
from collections.abc import Callable

from tests.support.command_processes import PATIENCE


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits for something that is sure to come, if nothing is broken."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "what was waited for hasn't come"
        time.sleep(0.02)
