"""The ways of a command to the database, its lock and the history."""

import configparser
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from app import database_url as urls
from app import db
from app.errors import database_errors_in_one_line
from app.migrations.errors import ConfigurationError, MigrationError
from app.migrations.project import Project
from app.migrations.run import lock, preflight, revision_files
from app.migrations.run.reporter import Reporter
from app.migrations.session import Session


def history(project: Project) -> ScriptDirectory:
    """Returns the revisions; raises `ConfigurationError` or `HistoryError` if they can't be read."""
    config = project.config()
    try:
        script = ScriptDirectory.from_config(config)
    except CommandError as error:
        file = Path(str(config.config_file_name)).absolute()
        where = f"in {file}" if file.is_file() else f"there is no file {file}"
        raise ConfigurationError(f"{str(error).rstrip('.')}: {where}") from None
    except (ValueError, ImportError, configparser.Error) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"{config.config_file_name}: can't be read ({reason}).") from None
    revision_files.require_loadable(script)
    return script


def from_root(project: Project, path: Path) -> Path:
    """Returns a path as it is seen from the project's root."""
    return path.relative_to(project.root) if path.is_relative_to(project.root) else path


def database_url(project: Project) -> sa.URL:
    """Returns the URL of the database that a command without an engine works on."""
    return project.with_url_of(project.config()).database_url()


def shown(project: Project, engine: sa.Engine | None) -> str:
    """Returns the database's URL for people."""
    return urls.shown(engine.url if engine is not None else database_url(project))


@contextmanager
def reading(project: Project, engine: sa.Engine | None) -> Iterator[sa.Connection]:
    """Gives a connection that only reads; a SQLite file that isn't there reads as empty, and isn't made."""
    engine = engine if engine is not None else db.migration_engine(database_url(project), read_only=True)
    with database_errors_in_one_line(), db.connect(engine) as connection:
        preflight.require_one_schema(connection)
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
    """
    reporter = Reporter(live=live)
    try:
        with database_errors_in_one_line():
            engine = engine if engine is not None else db.migration_engine(database_url(project))
            file = urls.sqlite_file(engine.url)
            if not (create or file is None or file.exists()):
                raise MigrationError(f"There is no database yet at {urls.shown(engine.url)}. Make it: schema deploy")
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
        preflight.require_one_schema(connection)
        yield connection


def require_local(url: sa.URL) -> None:
    """Raises `ConfigurationError` for a database on another machine. One behind a tunnel looks local."""
    if url.get_backend_name() == "sqlite":
        return
    if far := [host for host in _hosts(url) if not _is_local(host)]:
        raise ConfigurationError(
            f"{urls.shown(url)} is on {', '.join(far)}, which isn't this machine, and schema dev changes the database "
            "that it looks at. If it is yours alone, say --remote"
        )


def _hosts(url: sa.URL) -> list[str]:
    from psycopg import pq

    # libpq takes what the URL leaves out from PGHOST and its like.
    defaults = {option.keyword.decode(): (option.val or b"").decode() for option in pq.Conninfo.get_defaults()}
    arguments = url.get_dialect()().create_connect_args(url)[1]
    if arguments.get("service"):
        return [f"service {arguments['service']}"]
    return str(
        arguments.get("hostaddr") or arguments.get("host") or defaults.get("hostaddr") or defaults.get("host") or ""
    ).split(",")


def _is_local(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host in ("", "localhost") or host.startswith(("/", "@"))
