"""Asks whoever sits at the terminal, and warns them."""

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.migrations.errors import Interrupted

Ask = Callable[[str, str], str]
"""Asks a question, given with what an empty answer means; gives the answer."""


def is_there() -> bool:
    """Returns whether somebody can see a question and answer it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, default: str) -> str:
    """Asks on standard error, reads a line of standard input; an empty one means `default`.

    Raises:
        Interrupted: the input has ended.
    """
    sys.stderr.write(f"{question} ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        sys.stderr.write("\n")
        raise Interrupted("The question wasn't answered, so nothing was written.")
    return line.strip() or default


def log_to_stderr() -> None:
    """Shows the engine's progress on standard error, line by line."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("app.migrations")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Shows warnings as an operator wants them: what is wrong, without the line of code that noticed."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        sys.stderr.write(f"WARNING: {message}\n")

    before, warnings.showwarning = warnings.showwarning, show
    try:
        yield
    finally:
        warnings.showwarning = before
