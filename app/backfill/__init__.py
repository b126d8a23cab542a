"""Changes many rows of a table, a page at a time: see `backfill`.

Worker processes are in `app.backfill.workers`, which the face leaves out: no other command needs multiprocessing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from app.backfill.report import LEASES_TABLE, BackfillError, Rejected, Report

if TYPE_CHECKING:
    from app.backfill.filling import fill
    from app.backfill.leases import LEASE_ROWS, Leases
    from app.backfill.pacing import Pace
    from app.backfill.passes import backfill
    from app.backfill.remaining import count_rows, guard, has_rows
    from app.backfill.sweep import ByPage, ByRow
    from app.backfill.table import MARKER, KeyRange, Table, fetch

__all__ = [
    "LEASES_TABLE",
    "LEASE_ROWS",
    "MARKER",
    "BackfillError",
    "ByPage",
    "ByRow",
    "KeyRange",
    "Leases",
    "Pace",
    "Rejected",
    "Report",
    "Table",
    "backfill",
    "count_rows",
    "fetch",
    "fill",
    "guard",
    "has_rows",
]

_MODULES = {
    **dict.fromkeys(("LEASE_ROWS", "Leases"), "leases"),
    "fill": "filling",
    "Pace": "pacing",
    "backfill": "passes",
    **dict.fromkeys(("count_rows", "guard", "has_rows"), "remaining"),
    **dict.fromkeys(("ByPage", "ByRow"), "sweep"),
    **dict.fromkeys(("MARKER", "KeyRange", "Table", "fetch"), "table"),
}


def __getattr__(name: str) -> Any:
    # Each command loads every data revision, and most run none of them.
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
