"""Encrypts the plaintext secrets of one table: what the scripts beside this one run."""

import argparse
import sys
from collections.abc import Sequence

import sqlalchemy as sa

from app import db, secrets
from app.backfill import BackfillError, Report
from app.encryption import CipherError, FieldCipher
from app.errors import SettingsError
from app.project import PROJECT


def main(table: str, columns: Sequence[str], cipher: FieldCipher, description: str) -> int:
    """Encrypts, prints a summary, and returns the exit code: 0 done, 1 some values failed, 2 wrong configuration.

    Can be run again at any time, and while the applications work; values that fail are left as they are.

    Args:
        table: the table.
        columns: its encrypted columns.
        cipher: theirs.
        description: for `--help`.
    """
    parser = argparse.ArgumentParser(
        description=description, epilog="The database is DATABASE_URL; keys come from the environment or from .env."
    )
    parser.add_argument("--dry-run", action="store_true", help="count what would be encrypted, and write nothing")
    parser.add_argument("--verbose", action="store_true", help="report progress, and each value that fails, by its key")
    options = parser.parse_args()

    def progress(rows: int) -> None:
        if options.verbose:
            print(f"{table}: {rows} rows looked at", file=sys.stderr)

    try:
        with db.migration_engine(PROJECT.database_url(), read_only=options.dry_run).connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            report = secrets.encrypt(connection, table, columns, cipher, dry_run=options.dry_run, progress=progress)
    except (CipherError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 2
    except BackfillError as error:
        print(error, file=sys.stderr)
        return 1
    except sa.exc.DBAPIError as error:
        print(str(error.orig).strip().partition("\n")[0], file=sys.stderr)
        return 1
    if options.verbose:
        for column, key, reason in report.rejections:
            print(f"{table}.{column} of {key}: {reason}", file=sys.stderr)
    print(summary(report, dry_run=options.dry_run))
    return 1 if report.rejected else 0


def summary(report: Report, *, dry_run: bool) -> str:
    """The closing lines."""
    tallies = list(report.columns.values())
    empty = sum(tally.empty for tally in tallies)
    secrets_stored = report.rows * len(tallies) - empty
    lines = [
        ("total", report.rows * len(tallies)),
        ("with a secret", secrets_stored),
        ("already encrypted", sum(tally.unchanged for tally in tallies)),
        ("would be encrypted" if dry_run else "newly encrypted", report.changed),
        ("empty", empty),
        ("errors", report.rejected),
    ]
    head = f"{report.table}: {', '.join(report.columns)}" + (" (dry run, nothing written)" if dry_run else "")
    return "\n".join([head, *(f"  {name:<18} {count:>9,}" for name, count in lines)])
