"""Encrypts the plaintext secrets of one table: the common part of the scripts beside this one."""

import argparse
import sys
from functools import partial

from app.backfill import Report
from app.errors import SchemaError
from app.migrations import run
from app.migrations.errors import Interrupted
from app.project import PROJECT
from app.secrets import jobs
from app.secrets.jobs import Action, Progress


class PrintedProgress(Progress):
    """Prints the rows read after each page."""

    def rows(self, rows: int) -> None:
        """Prints the number of rows."""
        print(f"{self.table}: {rows} rows looked at", file=sys.stderr)


def main(table: str, description: str) -> int:
    """Encrypts like `schema secrets encrypt --table`, and prints a summary.

    Args:
        table: the table.
        description: a sentence for `--help`.

    Returns:
        The exit code: 0 if all is done, 1 if values failed, 2 for a wrong setting, 130 if it was stopped.
    """
    parser = argparse.ArgumentParser(
        description=description, epilog="The database is DATABASE_URL; keys come from the environment or from .env."
    )
    parser.add_argument("--dry-run", action="store_true", help="count what would be encrypted, and write nothing")
    parser.add_argument("--verbose", action="store_true", help="report progress, and each value that fails, by its key")
    options = parser.parse_args()
    progress = PrintedProgress() if options.verbose else Progress()
    selected = jobs.Options(PROJECT.encrypted_columns, partial(run.database_url, PROJECT), table, progress=progress)
    try:
        [report] = jobs.change(Action.ENCRYPT, selected, dry_run=options.dry_run)
    except SchemaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if options.verbose:
        for column, key, reason in report.rejections:
            print(f"{table}.{column} of {key}: {reason}", file=sys.stderr)
    print(summary(report, dry_run=options.dry_run))
    return Interrupted.exit_code if report.stopped else int(report.rejected > 0)


def summary(report: Report, *, dry_run: bool) -> str:
    """Returns the closing lines, which count all columns together."""
    tallies = list(report.columns.values())
    empty = sum(tally.empty for tally in tallies)
    lines = [
        ("total", report.rows * len(tallies)),
        ("with a secret", report.rows * len(tallies) - empty),
        ("already encrypted", sum(tally.unchanged for tally in tallies)),
        ("would be encrypted" if dry_run else "newly encrypted", report.changed),
        ("empty", empty),
        ("errors", report.rejected),
    ]
    head = f"{report.table}: {', '.join(report.columns)}" + (" (dry run, nothing written)" if dry_run else "")
    return "\n".join([head, *(f"  {name:<18} {count:>9,}" for name, count in lines)])
