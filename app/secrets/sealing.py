"""What `schema secrets` does to the columns of secrets: encrypt, re-encrypt, look at them; with one process or more."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app import db
from app.backfill import ByPage, Report
from app.backfill.pacing import Pace, held_by
from app.encryption import FieldCipher
from app.errors import SchemaError, SettingsError, database_errors_in_one_line
from app.secrets import changes
from app.secrets.progress import Counting

if TYPE_CHECKING:
    from app.encryption import EncryptedColumn

LOCK_TIMEOUT = "2s"
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Action(StrEnum):
    """What is done to values."""

    ENCRYPT = "encrypt"
    ROTATE = "rotate"


@dataclass(frozen=True)
class Sealed:
    """The columns of one table that are encrypted with one cipher."""

    table: str
    columns: tuple[str, ...]
    cipher: FieldCipher

    def job(self, action: Action) -> str:
        """The name under which workers find each other: the same work under the same key."""
        writing = self.cipher.keyring.writing
        return f"{action} {self.table} {','.join(self.columns)} {writing.id if writing else ''}".strip()

    def change(self, action: Action) -> ByPage:
        """What is done to a page of values."""
        make = changes.encrypting if action is Action.ENCRYPT else changes.rotating
        return make(self.table, self.cipher)


@dataclass(frozen=True)
class Throttle:
    """How much others are spared.

    Attributes:
        milliseconds: what writing a page should take.
        pause: rest after each page, in proportion to the time that it took.
        max_lag: wait while a replica is further behind, in seconds.
        query: wait while this says true.
    """

    milliseconds: float = 20
    pause: float = 0
    max_lag: float | None = None
    query: str | None = None

    def pace(self, stopped: Callable[[], bool], said: Callable[[str | None], None]) -> Pace:
        """The pace of one worker."""
        hold = held_by(self.max_lag, self.query)
        return Pace(target=self.milliseconds / 1000, pause=self.pause, hold=hold, said=said, stopped=stopped)


Find = Callable[[], "Iterable[EncryptedColumn]"]


def chosen(found: "Iterable[EncryptedColumn]", table: str | None, column: str | None) -> list[Sealed]:
    """The columns to work at: all, those of a table, or one.

    Raises:
        SettingsError: there is no such column of secrets.
    """
    every = list(found)
    wanted = [c for c in every if table in (None, c.table.name) and column in (None, c.column.name)]
    if not wanted:
        named = ", ".join(f"{c.table.name}.{c.column.name}" for c in every)
        raise SettingsError(f"There is no such column of secrets. There are: {named}.")
    grouped: dict[tuple[str, int], list[Any]] = {}
    for one in wanted:
        grouped.setdefault((one.table.name, id(one.cipher)), []).append(one)
    return [
        Sealed(group[0].table.name, tuple(c.column.name for c in group), group[0].cipher) for group in grouped.values()
    ]


def change(
    engine: sa.Engine,
    sealed: Sealed,
    action: Action,
    *,
    dry_run: bool,
    throttle: Throttle,
    counting: Counting,
    stopped: Callable[[], bool],
) -> Report:
    """Works at one table in this process."""
    work = changes.encrypt if action is Action.ENCRYPT else changes.rotate
    with session(engine) as connection:
        pace = throttle.pace(stopped, counting.note)
        return work(
            connection,
            sealed.table,
            sealed.columns,
            sealed.cipher,
            dry_run=dry_run,
            progress=counting.rows,
            pace=pace,
        )


@contextmanager
def session(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection that commits by itself, and on PostgreSQL doesn't wait for ever."""
    with db.connect(engine).execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "postgresql":
            name = f"schema secrets {who()}"[:63]
            connection.execute(sa.text("SELECT set_config('application_name', :name, false)"), {"name": name})
            connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        yield connection


def who() -> str:
    """This process, among all that may be connected."""
    return f"{socket.gethostname()} pid {os.getpid()}"


@contextmanager
def told_to_stop(*, at_once: bool = True) -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM came: the first asks to end after the page at work, the second ends at once.

    Args:
        at_once: the second does; a worker may hear of the same Ctrl-C twice, from the terminal and from who started it.
    """
    told: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread hears of signals
        yield lambda: False
        return

    def tell(number: int, _frame: object) -> None:
        if told and at_once:
            raise KeyboardInterrupt
        told.append(number)

    before = [(number, signal.signal(number, tell)) for number in SIGNALS]
    try:
        yield lambda: bool(told)
    finally:
        for number, handler in before:
            signal.signal(number, handler)


@contextmanager
def one_line() -> Iterator[None]:
    """Raises what the database refuses in one line.

    Raises:
        SchemaError: the database refuses something, or has no such table.
    """
    with database_errors_in_one_line("What was written is kept; run the same command again."):
        try:
            yield
        except sa.exc.NoSuchTableError as error:
            raise SchemaError(
                f"There is no table {error} in this database. Run: alembic upgrade head, or choose another with "
                "--table."
            ) from None


def values_of(report: Report) -> dict[str, Any]:
    """A report as JSON has it."""
    return {
        "table": report.table,
        "rows": report.rows,
        "columns": {name: vars(tally) for name, tally in report.columns.items()},
        "rejections": [
            {"column": column, "key": str(key), "reason": reason} for column, key, reason in report.rejections
        ],
        "conflicts": report.conflicts,
        "stopped": report.stopped,
    }


def text_of(report: Report, action: Action, *, dry_run: bool) -> str:
    """A report for people."""
    would = {Action.ENCRYPT: "encrypted", Action.ROTATE: "encrypted anew"}[action]
    lines = [f"{report.table}  {report.rows:,} rows" + (" (dry run, nothing written)" if dry_run else "")]
    for name, tally in report.columns.items():
        parts = [f"{tally.changed:,} {'would be ' if dry_run else ''}{would}", f"{tally.unchanged:,} left as they are"]
        parts += [f"{tally.empty:,} empty"] if tally.empty else []
        parts += [f"{tally.rejected:,} failed"] if tally.rejected else []
        lines.append(f"  {name:<24} {', '.join(parts)}")
    lines += [f"  {report.table}.{column} of {key}: {reason}" for column, key, reason in report.rejections]
    if report.rejected > len(report.rejections):
        lines.append(f"  … and {report.rejected - len(report.rejections):,} more")
    if report.stopped:
        lines.append("  Stopped before the end; what was written is kept. The same command goes on from there.")
    return "\n".join(lines)


def exit_code(reports: Sequence[Report]) -> int:
    """0 if all is done, 1 if rows remain."""
    return int(any(report.rejected or report.stopped for report in reports))
