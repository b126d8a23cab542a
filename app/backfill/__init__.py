"""Changes many rows of a table, a page at a time: see `backfill`."""

from app.backfill.pacing import Pace
from app.backfill.passes import MAX_WALKS, BackfillError, Walks, backfill
from app.backfill.sweep import KEPT_REJECTIONS, ByPage, Rejected, Report, Tally
from app.backfill.table import NoKeyError
from app.backfill.writers import MARKER

__all__ = [
    "KEPT_REJECTIONS",
    "MARKER",
    "MAX_WALKS",
    "BackfillError",
    "ByPage",
    "NoKeyError",
    "Pace",
    "Rejected",
    "Report",
    "Tally",
    "Walks",
    "backfill",
]
