"""The commands that are measured, in this process."""

import datetime as dt

KEEP = dt.timedelta(days=90)


def maintain(url: str, now: dt.datetime) -> None:
    """Runs `schema partitions maintain` for request_logs, as at a moment."""
    raise NotImplementedError


def plan(url: str) -> None:
    """Runs `schema partitions enable request_logs`, which only plans."""
    raise NotImplementedError


def enable(url: str) -> float:
    """Runs `schema partitions enable request_logs --apply`; returns the seconds of the swap."""
    raise NotImplementedError
