"""The ways of a command to the database, its lock and the history."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import URL

from app import db
from app.errors import Failure, database_errors_in_one_line
from app.migrations.errors import ConfigurationError, MigrationError
from app.migrations.project import Project
from app.migrations.run import lock, preflight
from app.migrations.run.reporter import Reporter
from app.migrations.session import Session


class NoScratch(MigrationError):  # noqa: N818 - a state, rather than a fault
    """The server lets us make no scratch database."""


def history(project: Project) -> ScriptDirectory:
    """Returns the revisions.

    Raises:
        ConfigurationError: there is no such configuration, or it names no history.
        HistoryError: a revision can't be read.
    """
    try:
        script = ScriptDirectory.from_config(project.config())
    except CommandError as error:
        raise ConfigurationError(str(error)) from None
    preflight.require_loadable(script)
    return script


def from_root(project: Project, path: Path) -> Path:
    """Returns a path as it is seen from the project's root."""
    return path.relative_to(project.root) if path.is_relative_to(project.root) else path


def shown(project: Project, engine: sa.Engine | None) -> str:
    """Returns the database's URL for people."""
    return db.shown(engine.url if engine is not None else project.database_url())


@contextmanager
def reading(project: Project, engine: sa.Engine | None) -> Iterator[sa.Connection]:
    """Gives a connection that only reads; a SQLite file that isn't there reads as empty, and isn't made.

    Raises:
        SchemaError: the database can't be reached, or refuses something.
    """
    engine = engine if engine is not None else db.migration_engine(project.database_url(), read_only=True)
    with database_errors_in_one_line(), db.connect(engine) as connection:
        yield connection


@contextmanager
def writing(
    project: Project,
    engine: sa.Engine | None,
    lock_timeout: float | None,
    *,
    live: bool = False,
    create: bool = False,
) -> Iterator[tuple[Config, sa.Engine]]:
    """Holds the lock, and gives a configuration under which Alembic's commands run beneath it.

    Args:
        project: whose database.
        engine: the database; the project's if None.
        lock_timeout: the longest wait for another migration, in seconds; else the project's limit.
        live: a terminal watches.
        create: make a SQLite file that isn't there.

    Raises:
        SchemaError: the database can't be reached or locked, or refuses something.
    """
    reporter = Reporter(live=live)
    try:
        with database_errors_in_one_line():
            engine = engine if engine is not None else db.migration_engine(project.database_url())
            file = db.sqlite_file(engine.url)
            if not (create or file is None or file.exists()):
                raise MigrationError(f"There is no database yet at {db.shown(engine.url)}. Make it: schema deploy")
            wait = project.limits().lock if lock_timeout is None else lock_timeout
            with lock.held(engine, wait=wait, waiting=reporter.waiting) as held:
                config = project.config(engine)
                session = Session.of(config)
                session.lock, session.reporter = held, reporter
                yield config, engine
    finally:
        reporter.close()


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Gives one transaction, DDL included on SQLite too, with foreign keys off there."""
    with db.connect(engine) as connection, db.revision_transactions(connection), connection.begin():
        yield connection


@contextmanager
def scratch(project: Project, engine: sa.Engine | None) -> Iterator[sa.Engine]:
    """Gives an empty database of the same kind, for as long as the context lasts; on PostgreSQL, on the same server.

    Raises:
        NoScratch: the role may not create databases.
        MigrationError: the server can't be reached.
    """
    with database_errors_in_one_line():
        url = engine.url if engine is not None else project.database_url()
        if url.get_backend_name() == "sqlite":
            with TemporaryDirectory(prefix="schema-") as folder:
                yield db.migration_engine(URL.create("sqlite", database=str(Path(folder) / "scratch.db")))
            return
        name = f"schema_scratch_{secrets.token_hex(6)}"
        with db.connect(engine if engine is not None else db.migration_engine(url)) as connection:
            autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
            try:
                autocommit.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0")
            except sa.exc.ProgrammingError as error:
                raise NoScratch(
                    f"The snapshots of PostgreSQL are made in a scratch database, and the server refuses to make one: "
                    f"{Failure.of(error)}. Use a role that has CREATEDB."
                ) from None
            try:
                # Neither the URL's search path nor the role's is to matter.
                query = {**url.query, "options": "-csearch_path=public"}
                yield db.migration_engine(url.set(database=name, query=query))
            finally:
                autocommit.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
