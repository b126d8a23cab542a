"""The commands of `schema`, as functions that a program can call.

Each takes an engine, or none for the setting `DATABASE_URL`; returns what there is to say; and raises a
`MigrationError` with one line when it can't do its work. None prints; progress goes to the logger `app.migrations`.
"""

import io
import shlex
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from app import db, settings
from app.migrations import lock, preflight, status
from app.migrations.errors import ConfigurationError, HistoryError, MigrationError
from app.migrations.ledger import Direction, Ledger, Outcome
from app.migrations.progress import Progress
from app.migrations.status import Status
from app.settings import SettingsError

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Deployment:
    """What `deploy` did, or would do.

    Attributes:
        applied: the revisions that were applied, oldest first; with `dry_run`, those that would be.
        backup: where the copy of the database is.
    """

    database: str
    head: str
    applied: list[str]
    dry_run: bool
    seconds: float
    backup: Path | None


def read_status(engine: sa.Engine | None = None) -> Status:
    """What the database is at, what is pending, what went wrong. Writes nothing, creates nothing.

    Raises:
        MigrationError: the database can't be reached, or its version table not read.
    """
    with _reading(engine) as connection:
        return status.read(connection, _script(), _shown(engine))


def deploy(
    engine: sa.Engine | None = None,
    *,
    dry_run: bool = False,
    backup: Path | None = None,
    lock_timeout: float | None = None,
    live: bool = False,
) -> Deployment:
    """Brings the database to head: takes the lock, checks what must be in order, upgrades, and compares with the
    models.

    Args:
        engine: the database.
        dry_run: only tells what would run, and whether something is in the way.
        backup: SQLite only: copies the database to this file first, which must not exist.
        lock_timeout: the longest wait for another migration, in seconds; else the setting `SCHEMA_LOCK_TIMEOUT`.
        live: a terminal watches: show what is going on between two lines too.

    Raises:
        MigrationError: what is in the way, or failed; revisions that had finished stay applied.
    """
    started = time.monotonic()
    if dry_run:
        return _planned(read_status(engine), started)
    with _writing(engine, lock_timeout, live=live) as (config, held_engine):
        copied = backup_sqlite(held_engine, backup) if backup is not None else None
        with held_engine.connect() as connection:
            before = status.read(connection, _script(), _shown(engine))
        command.upgrade(config, "head")
        command.check(config)
        applied = [revision.revision for revision in before.pending]
        return Deployment(before.database, before.head or "", applied, dry_run, time.monotonic() - started, copied)


def script(engine: sa.Engine | None = None) -> str:
    """The SQL that `deploy` would run now; a database without history gets the whole of it.

    Raises:
        MigrationError: something is in the way of an upgrade.
    """
    found = read_status(engine)
    _no_problems(found)
    output = io.StringIO()
    config = _config(engine)
    config.output_buffer = output
    command.upgrade(config, f"{found.at[0] if found.at else 'base'}:head", sql=True)
    return output.getvalue()


def resolve(
    revision: str,
    outcome: Outcome,
    *,
    reason: str,
    engine: sa.Engine | None = None,
    lock_timeout: float | None = None,
) -> None:
    """Records what somebody found out, or did, about a revision; believes it, and keeps the reason for ever.

    Args:
        revision: the revision.
        outcome: ROLLED_BACK: nothing of it is there, it may run again. APPLIED: all of it is there; if it is the next
            one to run, the database is at it from now on; if it was applied before, its code as it is now is accepted.
        reason: why; shown in the status.
        engine: the database.
        lock_timeout: as in `deploy`.

    Raises:
        HistoryError: there is no such revision, or it is neither applied nor the next to run.
        ConfigurationError: the reason is empty.
    """
    if not reason.strip():
        raise ConfigurationError("A reason is needed: it is kept in the ledger, and shown in the status.")
    directory = _script()
    found = directory.get_revision(revision) if revision in {r.revision for r in directory.walk_revisions()} else None
    if found is None:
        raise HistoryError(f"There is no revision {revision}.")
    with _writing(engine, lock_timeout, live=False) as (config, held_engine):
        with held_engine.connect() as connection:
            at = status.read(connection, directory, _shown(engine))
            applied = {r.revision for r in at.revisions} - {r.revision for r in at.pending}
        stamps = outcome is Outcome.APPLIED and revision not in applied
        if stamps and at.at != [found.down_revision] and not (not at.at and found.down_revision is None):
            raise HistoryError(f"{revision} isn't the next revision to run here: the database is at {at.at or 'base'}.")
        if outcome is Outcome.ROLLED_BACK and revision in applied:
            raise HistoryError(f"{revision} is applied here; to take it back: alembic downgrade {found.down_revision}")
        if stamps:
            command.stamp(config, revision)
        with held_engine.begin() as connection:
            ledger = Ledger(connection)
            ledger.create()
            checksum = preflight.checksum_of(found) if outcome is Outcome.APPLIED else None
            kept = Outcome.ADOPTED if outcome is Outcome.APPLIED else outcome
            ledger.record(revision, Direction.STAMP, kept, checksum, reason)


def backup_sqlite(engine: sa.Engine, target: Path) -> Path | None:
    """Copies a SQLite database to a new file, while others may write to it.

    Returns:
        The file; None if there is no database yet.

    Raises:
        ConfigurationError: it is another database, or the file is there already.
    """
    source = db.sqlite_file(engine.url)
    if source is None:
        raise ConfigurationError(f"--backup copies a SQLite file. For this database, run: {pg_dump_line(engine.url)}")
    if target.exists():
        raise ConfigurationError(f"{target} is there already: name a new file for the backup.")
    if not source.exists():
        return None
    partial = target.with_name(f"{target.name}.partial")
    try:
        with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(partial)) as copy:
            live.backup(copy, pages=1000)
        partial.rename(target)
    except (OSError, sqlite3.Error) as error:
        partial.unlink(missing_ok=True)
        raise MigrationError(f"The backup to {target} failed, so nothing was changed: {error}") from None
    return target


def pg_dump_line(url: sa.URL) -> str:
    """The command that backs up a PostgreSQL database; it takes the password from PGPASSWORD or ~/.pgpass."""
    parts = ["pg_dump", "--format=custom", f"--file={url.database}.dump"]
    parts += [f"--host={url.host}"] if url.host else []
    parts += [f"--port={url.port}"] if url.port else []
    parts += [f"--username={url.username}"] if url.username else []
    return shlex.join([*parts, str(url.database)])


def _planned(found: Status, started: float) -> Deployment:
    _no_problems(found)
    pending = [revision.revision for revision in found.pending]
    return Deployment(found.database, found.head or "", pending, True, time.monotonic() - started, None)


def _shown(engine: sa.Engine | None) -> str:
    return db.shown(engine.url if engine is not None else db.database_url())


def _no_problems(found: Status) -> None:
    if found.problems:
        raise found.problems[0]


def _script() -> ScriptDirectory:
    try:
        return ScriptDirectory.from_config(_config(None))
    except SyntaxError as error:
        raise MigrationError(f"{error.filename} line {error.lineno}: {error.msg}") from None


def _config(engine: sa.Engine | None) -> Config:
    config = Config(ROOT / "alembic.ini", stdout=io.StringIO())
    if engine is not None:
        config.attributes["connection"] = engine
    return config


@contextmanager
def _reading(engine: sa.Engine | None) -> Iterator[sa.Connection]:
    try:
        with db.connect(engine if engine is not None else db.migration_engine(read_only=True)) as connection:
            yield connection
    except SettingsError as error:
        raise ConfigurationError(str(error)) from None
    except db.DatabaseUnreachable as error:
        raise MigrationError(str(error)) from None


@contextmanager
def _writing(engine: sa.Engine | None, lock_timeout: float | None, *, live: bool) -> Iterator[tuple[Config, sa.Engine]]:
    """Holds the lock, and gives a configuration under which Alembic's commands run beneath it."""
    progress = Progress(live=live)
    try:
        engine = engine if engine is not None else db.migration_engine()
        wait = settings.load().number("SCHEMA_LOCK_TIMEOUT", 60) if lock_timeout is None else lock_timeout
        with lock.held(engine, wait=wait, waiting=progress.waiting) as held:
            config = _config(engine)
            config.attributes |= {"lock": held, "progress": progress}
            yield config, engine
    except SettingsError as error:
        raise ConfigurationError(str(error)) from None
    except db.DatabaseUnreachable as error:
        raise MigrationError(str(error)) from None
    finally:
        progress.close()
