"""The commands of `schema`, as functions that a program can call.

Each takes a project, and an engine or none for the project's database; returns what there is to say; and raises a
`SchemaError` with one line when it can't do its work. None prints; progress goes to the logger `app.migrations`.
"""

import io
import shlex
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import URL

from app import db
from app.migrations.drift import compare
from app.migrations.drift.resolve import Claim, Resolution, Resolver
from app.migrations.errors import ConfigurationError, DriftDetected, MigrationError
from app.migrations.project import Project
from app.migrations.run import connections, status
from app.migrations.run.ledger import Ledger
from app.migrations.run.reporter import Reporter
from app.migrations.run.status import Status
from app.migrations.session import Step


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


def read_status(project: Project, engine: sa.Engine | None = None) -> Status:
    """What the database is at, what is pending, what went wrong. Writes nothing, creates nothing.

    Raises:
        MigrationError: the database can't be reached, or its version table not read.
    """
    script = connections.history(project)
    with connections.reading(project, engine) as connection:
        return status.read(connection, project, script, connections.shown(project, engine), project.tables)


def deploy(
    project: Project,
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
        project: whose database.
        engine: the database.
        dry_run: only tells what would run, and whether something is in the way, such as data that would be lost.
        backup: SQLite only: copies the database to this file first, which must not exist.
        lock_timeout: the longest wait for another migration, in seconds; else the setting `SCHEMA_LOCK_TIMEOUT`.
        live: a terminal watches: show what is going on between two lines too.

    Raises:
        MigrationError: what is in the way, or failed; revisions that had finished stay applied.
    """
    started = time.monotonic()
    script = connections.history(project)
    if dry_run:
        with connections.reading(project, engine) as connection:
            found = _in_order(connection, project, engine, script)
        pending = [revision.revision for revision in found.pending]
        return Deployment(found.database, found.head or "", pending, dry_run, time.monotonic() - started, None)
    with connections.writing(project, engine, lock_timeout, live=live, create=True) as (config, held_engine):
        copied = None
        if backup is not None and _source_of_backup(held_engine.url, backup).exists():
            with db.connect(held_engine) as connection:  # copying may take long: see first whether it is of use
                _in_order(connection, project, held_engine, script)
            copied = backup_sqlite(held_engine, backup)
        with db.connect(held_engine) as connection:
            before = status.read(connection, project, script, connections.shown(project, engine), project.tables)
        command.upgrade(config, "head")
        _must_equal_the_models(config, held_engine)
        applied = [revision.revision for revision in before.pending]
        return Deployment(before.database, before.head or "", applied, dry_run, time.monotonic() - started, copied)


def script(project: Project, engine: sa.Engine | None = None) -> str:
    """The SQL that `deploy` would run now; a database without history gets the whole of it.

    Raises:
        MigrationError: something is in the way of an upgrade.
    """
    found = read_status(project, engine)
    _no_problems(found)
    output = io.StringIO()
    config = project.config(engine)
    config.output_buffer = output
    command.upgrade(config, f"{found.at[0] if found.at else 'base'}:head", sql=True)
    return output.getvalue()


def resolve(
    project: Project, claim: Claim, engine: sa.Engine | None = None, *, lock_timeout: float | None = None
) -> Resolution:
    """Proves what somebody claims about a revision with the live schema, and writes it down; else writes nothing.

    Args:
        project: whose revision.
        claim: that a revision is applied, or rolled back; with `force` and a reason it is believed.
        engine: the database.
        lock_timeout: as in `deploy`.

    Raises:
        UnresolvedFailure: the claim doesn't hold; the message says what contradicts it.
        MigrationError: there is no such revision, or it isn't its turn, or the lock isn't free.
    """
    with (
        connections.writing(project, engine, lock_timeout) as (_, held_engine),
        connections.transaction(held_engine) as connection,
    ):
        return Resolver(connection, project, connections.history(project)).resolve(claim)


def backup_sqlite(engine: sa.Engine, target: Path) -> Path | None:
    """Copies a SQLite database to a new file, while others may write to it.

    Returns:
        The file; None if there is no database yet.

    Raises:
        ConfigurationError: it is another database, or the file is there already.
    """
    source = _source_of_backup(engine.url, target)
    if not source.exists():
        return None
    partial = target.with_name(f"{target.name}.partial")
    try:
        with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(partial)) as copy:
            live.backup(copy, pages=1000)
        partial.chmod(source.stat().st_mode)  # who may not read the one may not read the other
        partial.rename(target)
    except (OSError, sqlite3.Error) as error:
        partial.unlink(missing_ok=True)
        raise MigrationError(f"The backup to {target} failed, so nothing was changed: {error}") from None
    return target


def pg_dump_line(url: sa.URL, target: Path) -> str:
    """The command that backs up a PostgreSQL database; it takes the password from PGPASSWORD or ~/.pgpass."""
    secret = [name for name in url.query if "password" in name]
    of = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    of = of.difference_update_query(secret)
    return shlex.join(["pg_dump", "--format=custom", f"--file={target}", of.render_as_string()])


def _source_of_backup(url: URL, target: Path) -> Path:
    source = db.sqlite_file(url)
    if url.get_backend_name() == "postgresql":
        raise ConfigurationError(f"--backup copies a SQLite file. For this database, run: {pg_dump_line(url, target)}")
    if source is None:
        raise ConfigurationError("--backup copies a SQLite file, and this database is in memory.")
    if target.exists():
        raise ConfigurationError(f"{target} is there already: name a new file for the backup.")
    return source


def write_docs(project: Project, root: Path | None = None, *, check: bool = False) -> Path:
    """Writes `docs/schema.md` from the models and the revisions.

    Args:
        project: whose models and revisions.
        root: the folder to write it in, instead of the project's.
        check: only tells whether it is fresh.

    Returns:
        The file, seen from there.

    Raises:
        DriftDetected: with `check`, it isn't.
    """
    from app.migrations.commands.schema_page import PAGE, document

    file = (root or project.root) / PAGE
    text = document(project.metadata(), connections.history(project))
    if not check:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    elif not file.exists() or file.read_text(encoding="utf-8") != text:
        raise DriftDetected(f"{PAGE} isn't what the models and revisions say. Write it anew: schema docs", None, [])
    return PAGE


def _in_order(connection: sa.Connection, project: Project, engine: sa.Engine | None, script: ScriptDirectory) -> Status:
    found = status.read(connection, project, script, connections.shown(project, engine), project.tables)
    _no_problems(found)
    _no_losses(connection, project, engine, found.at, script)
    return found


def _must_equal_the_models(config: Config, engine: sa.Engine) -> None:
    try:
        command.check(config)
    except DriftDetected as error:
        with engine.connect() as connection:
            entries = Ledger(connection).entries()
        if compare.unaccepted(error.diffs, entries):
            raise


def _no_losses(
    connection: sa.Connection, project: Project, engine: sa.Engine | None, at: list[str], script: ScriptDirectory
) -> None:
    from app.migrations.data_loss import DataLoss

    steps = script._upgrade_revs("head", at)  # type: ignore[arg-type]  # noqa: SLF001 - as Alembic's upgrade
    plan = [*map(Step.of, steps)]
    something_to_lose = bool(plan and (at or sa.inspect(connection).get_table_names()))
    connection.rollback()
    if something_to_lose:
        guard = DataLoss(connection, set(), Reporter(live=False).note)
        with EnvironmentContext(project.config(engine), script):  # revisions may ask it for -x
            guard.refuse(guard.preview(plan))


def _no_problems(found: Status) -> None:
    if found.problems:
        raise found.problems[0]
