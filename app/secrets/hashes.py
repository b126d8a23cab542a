"""`schema secrets hash`: keyed hashes beside the values that an application looks up.

A hash is written for each value that has none, and for each whose hash is another value's: a program that knows of no
hashes has changed the value. Hashes under previous and unknown keys stay, unless they are to be replaced.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import sqlalchemy as sa

from app.backfill import ByRow, Pace, Rejected, Report, Table, backfill
from app.backfill.workers import process_name, stop_requested
from app.encryption import HashedColumn, KeyConfigurationError
from app.errors import SchemaError
from app.secrets.connections import KEPT, errors_in_one_line, open_table, require_database
from app.secrets.key_check import SAMPLED_ROWS, KeySample
from app.secrets.progress import Progress


@dataclass(frozen=True)
class Hashing:
    """The columns of keyed hashes, and their database.

    Attributes:
        find: lists the columns.
        database_url: gives the URL of the database.
    """

    find: Callable[[], Iterable[HashedColumn]]
    database_url: Callable[[], sa.URL]
    progress: Progress = field(default_factory=Progress)

    def write(self, *, replace: bool = False, dry_run: bool = False) -> list[Report]:
        """Writes the missing hashes, page by page, while others work; can be stopped and run again at any time.

        Args:
            replace: also replaces the hashes under previous and unknown keys.
            dry_run: only counts what would be written.

        Returns:
            A report for each column, of the hashes alone.

        Raises:
            KeyConfigurationError: there is no writing key, or no key made any of the hashes that are there.
            SchemaError: the database has no such column, or refuses a statement.
        """
        reports = []
        with closing(self.progress), stop_requested() as stopped:
            for column in self.find():
                pace = Pace(stopped=stopped, on_wait=self.progress.wait)
                nothing = f"Nothing was written to {column.table}."
                with (
                    errors_in_one_line(partial(_outcome, pace, nothing)),
                    self._open(column, read_only=dry_run) as table,
                ):
                    _require_column(table, column)
                    _require_keys(table, column, replace=replace)
                    self.progress.begin(column.table, table.estimate())
                    change = ByRow(partial(_changes, column, replace))
                    options: Any = {"dry_run": dry_run, "progress": self.progress.rows, "pace": pace}
                    report = backfill(table.connection, column.table, table.columns, change, **options)
                del report.columns[column.source]
                reports.append(report)
                if report.stopped:
                    break
        return reports

    def check(self) -> list[KeySample]:
        """Checks that the keys made the hashes at both ends of each table; a database without hashes needs no key.

        Raises:
            KeyConfigurationError: there are hashes, and no key is set or none made any of them.
            SchemaError: the database can't be read.
        """
        samples = []
        for column in self.find():
            with errors_in_one_line(), self._open(column, read_only=True) as table:
                stored = _sample(table) if _has_column(table, column) else []
                if stored and not column.hashes.keyring.keys:
                    raise column.hashes.keyring.missing(f"what {column.table}.{column.source} holds", "hashed")
                samples.append(_require_known(column, stored))
        return samples

    @contextmanager
    def _open(self, column: HashedColumn, *, read_only: bool) -> Iterator[Table]:
        url, names = require_database(self.database_url()), [column.source, column.column]
        with open_table(url, column.table, names, process=process_name(), read_only=read_only) as table:
            yield table


def _outcome(pace: Pace, nothing: str) -> str:
    return KEPT if pace.longest else nothing


def _has_column(table: Table, column: HashedColumn) -> bool:
    return column.column in [found["name"] for found in sa.inspect(table.connection).get_columns(column.table)]


def _require_column(table: Table, column: HashedColumn) -> None:
    if not _has_column(table, column):
        raise SchemaError(f"{column.table} has no column {column.column} in this database. Run: alembic upgrade head")


def _require_keys(table: Table, column: HashedColumn, *, replace: bool) -> None:
    keyring = column.hashes.keyring
    if keyring.writing is None:
        raise keyring.missing(f"what {column.table}.{column.source} holds", "hashed")
    if not replace:
        _require_known(column, _sample(table))


def _require_known(column: HashedColumn, stored: Sequence[str]) -> KeySample:
    known = sum(map(column.hashes.is_known, stored))
    if stored and not known:
        raise KeyConfigurationError(
            f"None of the keys in {column.hashes.keyring.name} made the hashes in {column.table}.{column.column} "
            f"(sampled {len(stored)}). Set the key that did. If it is lost: schema secrets hash --replace"
        )
    return KeySample(column.table, column.column, len(stored), known)


def _sample(table: Table) -> list[str]:
    """Returns hashes from both ends of a table."""
    rows = [row for last in (False, True) for row in table.end(SAMPLED_ROWS, last=last)]
    return sorted({row[-1] for row in rows if isinstance(row[-1], str)})


def _changes(column: HashedColumn, replace: bool, page: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    values, stored = page
    return [[None] * len(values), [_change(column, replace, *pair) for pair in zip(values, stored, strict=True)]]


def _change(column: HashedColumn, replace: bool, value: Any, stored: Any) -> Any:
    if not value:
        return None
    if not isinstance(value, str):
        return Rejected(f"{column.source} isn't text")
    if stored and not replace:
        if stored in column.hashes.candidates(value):
            return None
        if not isinstance(stored, str) or not column.hashes.is_known(stored):
            return Rejected("was made with a key that isn't set: see --replace")
    return column.hashes.hash(value)
