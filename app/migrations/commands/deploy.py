"""`schema deploy`: the upgrade to head under one lock, with a backup before it and a comparison after it."""

import io
import shlex
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext

from app import database_url, db
from app.migrations import run
from app.migrations.commands.status import read_status, require_no_problem
from app.migrations.drift import unaccepted
from app.migrations.errors import ConfigurationError, DriftDetected, MigrationError
from app.migrations.phases import Phase, Stop, until_stop
from app.migrations.project import Project
from app.migrations.run import Ledger, Reporter, RevisionStatus, Status
from app.migrations.session import Session, Step


@dataclass(frozen=True)
class Deployment:
    """The result of `deploy`.

    Attributes:
        database: the database's URL without the password.
        head: the last revision of the code.
        at: the revision that the database is at; with `dry_run`, that it would be at. Empty before the first.
        applied: the revisions that were applied, oldest first; with `dry_run`, those that would be.
        backup: the copy of the database.
        models_compared: `whole`, `partly`, or `not`, with `dry_run` and before head.
        notes: what that comparison left out, and what the history of the database has left.
        stopped: the line on the stop before a later phase; empty if the database is at head.
    """

    database: str
    head: str
    at: str
    applied: list[str]
    dry_run: bool
    seconds: float
    backup: Path | None
    models_compared: str = "not"
    notes: list[str] = field(default_factory=list)
    stopped: str = ""


def deploy(
    project: Project,
    engine: sa.Engine | None = None,
    *,
    dry_run: bool = False,
    backup: Path | None = None,
    lock_timeout: float | None = None,
    live: bool = False,
    phase: Phase | None = None,
) -> Deployment:
    """Brings the database to head under the lock, and compares it with the models there.

    Args:
        project: the project of the database.
        engine: the database; the project's if None.
        dry_run: only reports what would run, and raises what would refuse the upgrade.
        backup: SQLite only: copies the database to this new file first.
        lock_timeout: the longest wait for another migration, in seconds; else the project's limit.
        live: a terminal shows the progress.
        phase: the last phase that runs; None for all.

    Raises:
        MigrationError: something is in the way, or failed; revisions that had finished stay applied.
    """
    started = time.monotonic()
    run.history(project)  # an unreadable history is refused before SQLite's lock makes its file
    copy: Path | None = None
    compared: tuple[str, list[str]] = ("not", [])
    if dry_run:
        before = _require_upgradable(project, engine, phase)
        applied, stop = _until_stop(before, phase)
    else:
        with run.writing(project, engine, lock_timeout, live=live, create=True) as (config, held_engine):
            if backup is not None and _require_source(held_engine.url, backup).exists():
                _require_upgradable(project, held_engine, phase)  # a large copy would be in vain
                copy = backup_sqlite(held_engine, backup)
            before = read_status(project, held_engine)
            applied, stop = _until_stop(before, phase)
            session = Session.of(config)
            session.answers_notes = session.called_by_schema = True
            session.phase = phase
            command.upgrade(config, "head")
            if stop is None:
                _require_equal_to_models(config, held_engine)
                compared = session.models_compared, session.all_notes
    head = before.head or ""
    at = head if stop is None else applied[-1] if applied else next(iter(before.place.rows), "")
    seconds, stopped = time.monotonic() - started, stop.text(by_schema=True) if stop is not None else ""
    return Deployment(before.database, head, at, applied, dry_run, seconds, copy, *compared, stopped)


def _until_stop(status: Status, phase: Phase | None) -> tuple[list[str], Stop | None]:
    """Returns the pending revisions that run, and the place of the stop."""

    def itself(revision: RevisionStatus) -> RevisionStatus:
        return revision

    revisions, stop = until_stop(status.pending, phase, itself)
    return [revision.revision for revision in revisions], stop


def script(project: Project, engine: sa.Engine | None = None, phase: Phase | None = None) -> str:
    """Returns the SQL that `deploy` would run now, and raises what is in the way of an upgrade."""
    status = read_status(project, engine)
    require_no_problem(status)
    config = project.config(engine)
    session = Session.of(config)
    session.phase, session.called_by_schema = phase, True
    run.require_complete(status.place)
    config.output_buffer = output = io.StringIO()
    command.upgrade(config, f"{next(iter(status.place.rows), 'base')}:head", sql=True)
    return output.getvalue()


def backup_sqlite(engine: sa.Engine, target: Path) -> Path | None:
    """Copies a SQLite database to a new file, while other processes may write to the database.

    Returns:
        The file; None if there is no database yet.

    Raises:
        ConfigurationError: the database isn't a SQLite file, or the target exists.
        MigrationError: the copy failed; no file is left.
    """
    source = _require_source(engine.url, target)
    if not source.exists():
        return None
    partial = target.with_name(f"{target.name}.partial")
    try:
        with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(partial)) as copy:
            live.backup(copy, pages=1000)
        partial.chmod(source.stat().st_mode)  # the copy must not be readable by more people than the database
        partial.rename(target)
    except (OSError, sqlite3.Error) as error:
        raise MigrationError(f"The backup to {target} failed, so nothing was changed: {error}") from None
    finally:  # an interrupt too leaves none of them
        for suffix in ("", "-journal", "-wal", "-shm"):
            partial.with_name(f"{partial.name}{suffix}").unlink(missing_ok=True)
    return target


def _require_source(url: sa.URL, target: Path) -> Path:
    """Returns the SQLite file of a URL, which may not exist yet."""
    if url.get_backend_name() == "postgresql":
        raise ConfigurationError(f"--backup copies a SQLite file. For this database, run: {pg_dump_line(url, target)}")
    source = database_url.sqlite_file(url)
    if source is None:
        raise ConfigurationError("--backup copies a SQLite file, and this database is in memory.")
    if target.exists():
        raise ConfigurationError(f"{target} is there already: name a new file for the backup.")
    return source


def pg_dump_line(url: sa.URL, target: Path) -> str:
    """Returns the command that backs up a PostgreSQL database; `pg_dump` reads the password from elsewhere."""
    query = {name: value for name, value in url.query.items() if "password" not in name}
    dumped = sa.URL.create("postgresql", url.username, None, url.host, url.port, url.database, query)
    return shlex.join(["pg_dump", "--format=custom", f"--file={target}", dumped.render_as_string()])


def _require_upgradable(project: Project, engine: sa.Engine | None, phase: Phase | None) -> Status:
    """Returns the status, and raises what would refuse an upgrade."""
    status, history = read_status(project, engine), run.history(project)
    require_no_problem(status)
    steps, _ = until_stop(run.upgrade_steps(history, status.place), phase, Step.of)
    plan = [*map(Step.of, steps)]
    with run.reading(project, engine) as connection:
        something_to_lose = bool(plan and (status.at or sa.inspect(connection).get_table_names()))
        connection.rollback()
        if something_to_lose:
            from app.migrations.data_loss import DataLoss  # loads PostgreSQL's grammar

            guard = DataLoss(connection, set(), Reporter(live=False).note)
            with EnvironmentContext(project.config(engine), history):  # revisions may ask it for -x
                guard.refuse(plan)
    return status


def _require_equal_to_models(config: Config, engine: sa.Engine) -> None:
    try:
        command.check(config)
    except DriftDetected as error:
        with db.connect(engine) as connection:
            entries = Ledger(connection).entries()
        if unaccepted(error.diffs, entries):
            raise
