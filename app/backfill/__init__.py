"""Changes many rows of a table, a page at a time: see `backfill`.

Worker processes are in `app.backfill.workers`, which the face leaves out: no other command needs multiprocessing.
"""

from app.backfill.leases import LEASE_ROWS, LEASES_TABLE, Leases
from app.backfill.pacing import Pace
from app.backfill.passes import backfill
from app.backfill.remaining import count_rows, guard, has_rows
from app.backfill.report import BackfillError, Rejected, Report
from app.backfill.sweep import ByPage
from app.backfill.table import MARKER, KeyRange, Table, fetch

__all__ = [
    "LEASES_TABLE",
    "LEASE_ROWS",
    "MARKER",
    "BackfillError",
    "ByPage",
    "KeyRange",
    "Leases",
    "Pace",
    "Rejected",
    "Report",
    "Table",
    "backfill",
    "count_rows",
    "fetch",
    "guard",
    "has_rows",
]
