"""The commands that are measured, in this process."""

import datetime as dt

from app.migrations import commands
from app.project import PROJECT
from benchmarks.partitions import data
from tests.support.database_access import engine

KEEP = dt.timedelta(days=90)


def maintain(url: str, now: dt.datetime) -> None:
    """Runs `schema partitions maintain` for request_logs, as at a moment.

    Raises:
        RuntimeError: something wasn't done.
    """
    done = commands.maintain(PROJECT, engine(url), tables=[data.TABLE], now=now)
    if done.failures:
        raise RuntimeError(str(done.failures))


def plan(url: str) -> None:
    """Runs `schema partitions enable request_logs`, which only plans."""
    commands.plan_enable(PROJECT, data.TABLE, engine(url))


def enable(url: str) -> float:
    """Runs `schema partitions enable request_logs --apply`; returns the seconds for which tables were locked."""
    return commands.enable_partitions(PROJECT, data.TABLE, engine(url)).held_seconds


def undo(url: str) -> float:
    """Runs the same with `--undo`; returns as `enable` does."""
    return commands.undo_partitions(PROJECT, data.TABLE, engine(url)).held_seconds
