"""Runs the engine once on a table, in a process of its own, and prints what it took; for the other benchmarks.

python -m benchmarks.engine encrypt|rotate|verify URL TABLE [--workers 2]

A checkout of another commit that has this module is measured beside by `--before`.
"""

import argparse
import json
import time

import sqlalchemy as sa

from app import db, secrets
from app.backfill import Pace
from app.secrets.changes import Action
from app.secrets.jobs import Progress, Task
from benchmarks import columns
from benchmarks.measure import processor_seconds


def main() -> None:
    """Runs it; what the imports take isn't counted, and the start of workers is."""
    parser = argparse.ArgumentParser(description="Runs the engine once.")
    parser.add_argument("action", choices=["encrypt", "rotate", "verify"])
    parser.add_argument("url")
    parser.add_argument("table", choices=columns.OF_TABLE)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--range-rows", type=int, help="rows of a range that a worker is given")
    options = parser.parse_args()
    verifies = options.action == "verify"
    action = Action.ENCRYPT if verifies else Action(options.action)
    more = {"range_rows": options.range_rows} if options.range_rows else {}
    task = Task(columns.find, sa.make_url(options.url), options.table, ("secret",), action, **more)
    pace = Pace()
    started, processor = time.perf_counter(), processor_seconds()
    if verifies:
        task.take_inventory(options.workers, Progress(), lambda: False)
    elif options.workers > 1:
        task.change_with_workers(options.workers, Progress(), lambda: False)
    else:
        cipher = columns.OF_TABLE[options.table]
        with db.migration_engine(options.url).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            secrets.encrypt(connection, options.table, ["secret"], cipher, action, pace=pace)
    seconds, client = time.perf_counter() - started, processor_seconds() - processor
    print(json.dumps({"seconds": seconds, "client": client, "longest_ms": pace.longest * 1000}))


if __name__ == "__main__":
    main()
