"""The commands of `schema secrets`, as functions that a program can call; progress goes to the logger."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import sqlalchemy as sa

from app import db
from app.backfill import Report
from app.backfill.table import Rows
from app.errors import SchemaError
from app.secrets import changes, readers, sealing, workers
from app.secrets.inventory import Census
from app.secrets.progress import Counting, Style, log
from app.secrets.sealing import Action, Find, Sealed, Throttle
from app.secrets.workers import Task


@dataclass(frozen=True)
class Options:
    """What is to be worked at, and how.

    Attributes:
        find: names the columns of secrets; processes pickle it.
        database_url: gives the URL of the database, where a job is given none.
        table: only this one's.
        column: only those of this name.
        workers: how many processes; None is this one, alone.
        style: how progress is told.
    """

    find: Find
    database_url: Callable[[], sa.URL]
    table: str | None = None
    column: str | None = None
    workers: int | None = None
    throttle: Throttle = field(default_factory=Throttle)
    style: Style = "plain"


def change(action: Action, options: Options, engine: sa.Engine | None = None, *, dry_run: bool = False) -> list[Report]:
    """Encrypts what is plaintext, or encrypts anew what is under a previous key, table by table.

    Told to stop by Ctrl-C or SIGTERM, it ends after the page at work.

    Raises:
        SchemaError: a key is missing or wrong, or there is no such column; nothing was written.
        SchemaError: the database refuses something; what was written is kept.
    """
    counting = Counting(options.style)
    reports: list[Report] = []
    with _at_work(counting), sealing.told_to_stop() as stopped:
        chosen = sealing.chosen(options.find(), options.table, options.column)
        engine = engine if engine is not None else _engine(options, read_only=dry_run)
        count = _count_of_workers(options, engine, dry_run=dry_run)
        for sealed in chosen:
            _begin(counting, engine, sealed)
            if count is None:
                report = sealing.change(
                    engine,
                    sealed,
                    action,
                    dry_run=dry_run,
                    throttle=options.throttle,
                    counting=counting,
                    stopped=stopped,
                )
            else:
                task = _task(options, engine, sealed, action)
                report = workers.change(task, count, counting, stopped)
            reports.append(report)
            if report.stopped:
                break
    return reports


def look(options: Options, engine: sa.Engine | None = None) -> tuple[list[Census], bool]:
    """Decrypts every secret and counts; writes nothing.

    Returns:
        What each column holds, and whether it was told to stop before the end.

    Raises:
        SchemaError: a setting isn't a key, or there is no such column.
        SchemaError: the database can't be read.
    """
    counting = Counting(options.style)
    found: list[Census] = []
    with _at_work(counting), sealing.told_to_stop() as stopped:
        chosen = sealing.chosen(options.find(), options.table, options.column)
        engine = engine if engine is not None else _engine(options, read_only=True)
        for sealed in chosen:
            _begin(counting, engine, sealed)
            task = _task(options, engine, sealed, Action.ROTATE)
            found += readers.count(engine, task, options.workers or 1, counting, stopped)
        return found, stopped()


def check_keys(options: Options, engine: sa.Engine | None = None) -> None:
    """Makes sure that the configured keys open what is stored, and that there are keys to write with; quick.

    Raises:
        SchemaError: they don't, or a key is missing.
        SchemaError: the database can't be read.
    """
    with sealing.one_line():
        engine = engine if engine is not None else _engine(options, read_only=True)
        with sealing.session(engine) as connection:
            for sealed in sealing.chosen(options.find(), options.table, options.column):
                changes.check_keys(connection, sealed.table, sealed.columns, sealed.cipher, writes=True)


def remains(found: list[Census], *, plaintext: bool) -> bool:
    """Whether a column holds what can't be read, or plaintext, if that counts."""
    return any(column.malformed or column.unreadable or (plaintext and column.plaintext) for column in found)


def census_text(found: list[Census]) -> str:
    """What columns hold, for people."""
    lines = []
    for column in found:
        lines.append(f"{column.table}.{column.column}  {column.rows:,} rows")
        counts = [("empty", column.empty), ("plaintext", column.plaintext)]
        counts += [
            (f"under key {key}, {'which writes' if key == column.writing else 'a previous one'}", count)
            for key, count in column.keys.items()
        ]
        counts += [("malformed", column.malformed), ("unreadable", column.unreadable)]
        lines += [f"  {name:<40} {count:>13,}" for name, count in counts]
        lines += [f"  {state}: {column.table}.{column.column} of {key}" for key, state in column.bad]
    return "\n".join(lines)


def census_values(column: Census) -> dict[str, object]:
    """What a column holds, as JSON has it."""
    bad = [{"key": str(key), "state": state} for key, state in column.bad]
    return vars(column) | {"bad": bad, "under_previous_keys": column.previous}


@contextmanager
def _at_work(counting: Counting) -> Iterator[None]:
    with sealing.one_line():
        try:
            yield
        finally:
            counting.close()


def _begin(counting: Counting, engine: sa.Engine, sealed: Sealed) -> None:
    with sealing.session(engine) as connection:
        counting.begin(sealed.table, Rows(connection, sealed.table, sealed.columns).estimate())


def _engine(options: Options, *, read_only: bool) -> sa.Engine:
    path = db.sqlite_file(url := options.database_url())
    if path is not None and not path.exists():
        raise SchemaError(f"There is no database at {db.shown(url)}.")
    return db.migration_engine(url, read_only=read_only)


def _count_of_workers(options: Options, engine: sa.Engine, *, dry_run: bool) -> int | None:
    if options.workers is None or dry_run:
        return None
    if engine.dialect.name == "postgresql":
        return options.workers
    if options.workers > 1:
        log.info("SQLite has one writer at a time: one worker does it.")
    return None


def _task(options: Options, engine: sa.Engine, sealed: Sealed, action: Action) -> Task:
    url = engine.url.render_as_string(hide_password=False)
    return Task(options.find, url, sealed.table, sealed.columns, action, options.throttle)
