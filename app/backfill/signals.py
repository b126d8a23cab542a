"""SIGINT and SIGTERM during a long job: the first asks it to stop, the second ends it at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_requested(*, second_ends: bool = True) -> Iterator[Callable[[], bool]]:
    """Gives a function that returns whether Ctrl-C or SIGTERM came; a second one raises KeyboardInterrupt.

    Workers don't let the second one end them: a Ctrl-C reaches them from the terminal and from their parent.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to no other
        yield lambda: False
        return

    def receive(number: int, _frame: object) -> None:
        if received and second_ends:
            raise KeyboardInterrupt
        received.append(number)

    before = [(number, signal.signal(number, receive)) for number in _SIGNALS]
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before:
            signal.signal(number, handler)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Blocks both signals while a worker starts; during its imports they would kill it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock_signals() -> None:
    """Lets a worker that has set up its handlers receive the signals that came meanwhile."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
