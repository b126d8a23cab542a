"""How commands get at the database, its lock and the history."""

import io
import os
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

from app import db, settings
from app.failures import Failure
from app.migrations.errors import ConfigurationError, MigrationError
from app.migrations.run import lock, preflight
from app.migrations.run.reporter import Progress
from app.settings import SettingsError

ROOT = Path(__file__).resolve().parents[3]


class NoScratch(MigrationError):  # noqa: N818 - a state, rather than a fault
    """The server lets us make no scratch database."""


def configuration(engine: sa.Engine | sa.Connection | None = None) -> Config:
    """Alembic's configuration, for commands on `engine` or else on the setting `DATABASE_URL`.

    It is the project's `alembic.ini`, or the file that `ALEMBIC_CONFIG` names, as for the command `alembic`.
    """
    config = Config(os.environ.get("ALEMBIC_CONFIG") or ROOT / "alembic.ini", stdout=io.StringIO())
    if engine is not None:
        config.attributes["connection"] = engine
    return config


def history() -> ScriptDirectory:
    """The revisions.

    Raises:
        ConfigurationError: there is no such configuration, or it names no history.
        HistoryError: a revision can't be read.
    """
    try:
        script = ScriptDirectory.from_config(configuration())
    except CommandError as error:
        raise ConfigurationError(str(error)) from None
    preflight.loadable(script)
    return script


def from_root(path: Path) -> Path:
    """A path as it is seen from the project's root."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def shown(engine: sa.Engine | None) -> str:
    """The database's URL for people."""
    return db.shown(engine.url if engine is not None else db.database_url())


@contextmanager
def reading(engine: sa.Engine | None) -> Iterator[sa.Connection]:
    """A connection that only reads; a SQLite file that isn't there reads as empty, and isn't made.

    Raises:
        MigrationError: the database can't be reached, or refuses something.
    """
    with one_line(), db.connect(engine if engine is not None else db.migration_engine(read_only=True)) as connection:
        yield connection


@contextmanager
def writing(
    engine: sa.Engine | None, lock_timeout: float | None, *, live: bool = False, create: bool = False
) -> Iterator[tuple[Config, sa.Engine]]:
    """Holds the lock, and gives a configuration under which Alembic's commands run beneath it.

    Args:
        engine: the database; the setting `DATABASE_URL` if None.
        lock_timeout: the longest wait for another migration, in seconds; else the setting `SCHEMA_LOCK_TIMEOUT`.
        live: a terminal watches.
        create: make a SQLite file that isn't there.

    Raises:
        MigrationError: the database can't be reached or locked, or refuses something.
    """
    progress = Progress(live=live)
    try:
        with one_line():
            engine = engine if engine is not None else db.migration_engine()
            file = db.sqlite_file(engine.url)
            if not (create or file is None or file.exists()):
                raise MigrationError(f"There is no database yet at {db.shown(engine.url)}. Make it: schema deploy")
            wait = settings.load().number("SCHEMA_LOCK_TIMEOUT", 60) if lock_timeout is None else lock_timeout
            with lock.held(engine, wait=wait, waiting=progress.waiting) as held:
                config = configuration(engine)
                config.attributes |= {"lock": held, "progress": progress}
                yield config, engine
    finally:
        progress.close()


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One transaction, DDL included on SQLite too, with foreign keys off there."""
    with db.connect(engine) as connection, db.revision_transactions(connection), connection.begin():
        yield connection


@contextmanager
def scratch(engine: sa.Engine | None) -> Iterator[sa.Engine]:
    """An empty database of the same kind, for as long as the context lasts; on PostgreSQL, on the same server.

    Raises:
        NoScratch: the role may not create databases.
        MigrationError: the server can't be reached.
    """
    with one_line():
        url = engine.url if engine is not None else db.database_url()
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


@contextmanager
def one_line() -> Iterator[None]:
    """Raises what goes wrong with settings or the database as a `MigrationError` of one line."""
    try:
        yield
    except SettingsError as error:
        raise ConfigurationError(str(error)) from None
    except db.DatabaseUnreachable as error:
        raise MigrationError(str(error)) from None
    except sa.exc.DBAPIError as error:
        raise MigrationError(f"The database refuses: {Failure.of(error)}") from None
