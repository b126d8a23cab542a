"""Asks whoever sits at the terminal, and warns them."""

import errno
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from app.migrations.errors import Interrupted, MigrationError

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


def complete_streams() -> None:
    """Lets every text be written somewhere: a stream that is closed swallows it, one of ASCII shows it escaped."""
    logging.raiseExceptions = False  # it would print tracebacks where a line can't be formatted or written
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started the process
            setattr(sys, name, _nowhere())
        elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def output_errors_in_one_line(advice: str) -> Iterator[None]:
    """Raises `MigrationError` if standard output can't be written, or its reader is gone.

    Args:
        advice: what that means for the operator, a sentence.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG):
            raise
        # Python would write the rest at its end, and fail once more.
        sys.stdout = _nowhere()
        raise MigrationError(f"The output can't be written: {error.strerror}. {advice}") from None


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


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")
