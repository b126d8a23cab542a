"""What a walk does beside its writing, where there is a server to wait for, and with Python's collector at rest."""

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

_T = TypeVar("_T")


@dataclass(frozen=True)
class Aside(Generic[_T]):
    """Something that is at work, or will be when its result is asked for."""

    result: Callable[[], _T]


Submit = Callable[..., Aside[Any]]
"""Has a function called with arguments, in the context of whoever asks."""


@contextmanager
def beside(connection: sa.Connection) -> Iterator[Submit]:
    """Something that does work beside what this thread waits for; afterwards, where the database is in this process."""
    if connection.dialect.name != "postgresql":
        yield lambda function, *args: Aside(partial(function, *args))
        return
    with ThreadPoolExecutor(1) as pool:
        yield lambda function, *args: Aside(pool.submit(copy_context().run, function, *args).result)


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Keeps Python's collector from what was there before.

    Each page makes some ten thousand objects, which sets it off; looking through all modules of a program every time
    took a third of a walk, and in between a transaction stood open.
    """
    ours = not gc.get_freeze_count()  # else somebody has frozen what is there for good, before a fork for instance
    if ours:
        gc.freeze()
    try:
        yield
    finally:
        if ours:
            gc.unfreeze()
