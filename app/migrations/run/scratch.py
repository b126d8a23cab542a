"""Makes the snapshots of revisions, in scratch databases that are dropped again."""

import ast
import io
import ipaddress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from app import db
from app.errors import SchemaError, SettingsError
from app.migrations.errors import ConfigurationError
from app.migrations.project import Project
from app.migrations.run import connections
from app.migrations.run.reporter import Silent, log
from app.migrations.session import Session
from app.migrations.snapshots import ddl, store
from app.migrations.snapshots.differences import differences
from app.migrations.snapshots.store import Snapshot, Snapshots
from app.migrations.sql import text


def snapshot(project: Project, engine: sa.Engine | None = None) -> list[Path]:
    """Writes what every revision makes, on a scratch database of the same kind; removes what no revision makes.

    Raises:
        MigrationError: a scratch database can't be made, or a revision fails.
    """
    kept = Snapshots(project.config())
    with connections.scratch(project, engine) as scratch_engine:
        dialect = scratch_engine.dialect.name
        taken = _every_snapshot(project, scratch_engine)
    for revision in kept.saved(dialect) - taken.keys():
        kept.path(dialect, revision).unlink()
    return [connections.from_root(project, kept.save(dialect, revision, found)) for revision, found in taken.items()]


def stale_snapshots(project: Project, engine: sa.Engine | None = None) -> list[Path]:
    """The files that `snapshot` would write otherwise, add or remove.

    Raises:
        MigrationError: as `snapshot`.
    """
    kept = Snapshots(project.config())
    with connections.scratch(project, engine) as scratch_engine:
        dialect = scratch_engine.dialect.name
        taken = _every_snapshot(project, scratch_engine)
    stale = kept.saved(dialect) - taken.keys()
    for revision, found in taken.items():
        path = kept.path(dialect, revision)
        if not path.is_file() or path.read_text(encoding="utf-8") != store.text_of(found):
            stale.add(revision)
    return [connections.from_root(project, kept.path(dialect, revision)) for revision in sorted(stale)]


def snapshot_new(project: Project, file: Path, config: Config) -> str:
    """Writes what a revision makes that was written just now: for SQLite, and for a PostgreSQL on this machine.

    Args:
        project: whose revision.
        file: the revision.
        config: Alembic's; the attribute `connection` is set to a scratch database.

    Returns:
        What was made and what wasn't, in one line; nothing of a revision that is still to be filled in by hand.
    """
    if _is_empty(file):
        return ""
    made = []
    for dialect, url in _within_reach(project).items():
        try:
            with connections.scratch(project, db.migration_engine(url)) as engine:
                _run_alone(file, config, engine)
                with engine.connect() as connection:
                    Snapshots(config).save(dialect, file.name.partition("_")[0], store.take(connection))
        except (CommandError, SchemaError):  # whatever is in the way, `schema snapshot` says it
            continue
        made.append(dialect)
    to_make = [dialect for dialect in ("sqlite", "postgresql") if dialect not in made]
    said = [f"made for {' and '.join(made)}"] if made else []
    said += [f"to be made on {' and '.join(to_make)}, with: schema snapshot"] if to_make else []
    return f"Snapshots of {file.name}: {'; '.join(said)}"


def keep_snapshots(project: Project, path: str, options: Any) -> None:
    """Makes the snapshots of a new revision, as far as they can be made here, and says so: a write hook.

    Args:
        project: whose revision.
        path: the revision.
        options: `root` is the folder of `alembic.ini`.
    """
    said = snapshot_new(project, Path(path), Config(Path(options["root"]) / "alembic.ini", stdout=io.StringIO()))
    if said:
        log.info("%s", said)


def upgrade(config: Config, revision: str) -> None:
    """Runs revisions in a scratch database, and says nothing of it."""
    Session.of(config).reporter = Silent()
    command.upgrade(config, revision)


def prepare(connection: sa.Connection, made: Snapshot, script: ScriptDirectory, revision: str | None) -> None:
    """Makes an empty database what it is at `revision`, without running the revisions."""
    everything = ddl.goal({}, made, differences(made, {}))
    for statement in ddl.plan(connection.dialect.name, everything).within_a_transaction:
        connection.exec_driver_sql(text.for_driver(statement, connection.dialect))
    MigrationContext.configure(connection).stamp(script, revision or "base")


def _every_snapshot(project: Project, engine: sa.Engine) -> dict[str, Snapshot]:
    """What each revision makes, oldest first, on an empty database."""
    config = project.config(engine)
    taken = {}
    for revision in reversed(list(connections.history(project).walk_revisions())):
        upgrade(config, revision.revision)
        with engine.connect() as connection:
            taken[revision.revision] = store.take(connection)
    return taken


def _run_alone(file: Path, config: Config, engine: sa.Engine) -> None:
    config.attributes["connection"] = engine
    script = ScriptDirectory.from_config(config)
    revision = script.get_revision(file.name.partition("_")[0])
    before = str(revision.down_revision) if revision.down_revision else None
    with connections.transaction(engine) as connection:
        prepare(connection, Snapshots(config).of(engine.dialect.name, before), script, before)
    upgrade(config, revision.revision)


def _within_reach(project: Project) -> dict[str, sa.URL]:
    found = {"sqlite": sa.make_url("sqlite://")}
    try:
        url = project.database_url()
        must_be_local(url)  # nobody expects `alembic revision` to make a database on another machine
    except (SettingsError, ConfigurationError):
        return found
    return {**found, "postgresql": url} if url.get_backend_name() == "postgresql" else found


def _is_empty(file: Path) -> bool:
    functions = [node for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]
    upgrades = [function for function in functions if function.name == "upgrade"]
    return all(isinstance(statement, ast.Pass) for upgrade in upgrades for statement in upgrade.body)


def must_be_local(url: sa.URL) -> None:
    """Refuses a database on another machine. One behind a tunnel looks local: nobody can tell.

    Raises:
        ConfigurationError: it isn't a SQLite file, nor a PostgreSQL server behind a socket or a loopback address.
    """
    if url.get_backend_name() == "sqlite":
        return
    far = [host for host in _hosts(url) if not _is_local(host)]
    if far:
        raise ConfigurationError(
            f"{db.shown(url)} is on {', '.join(far)}, which isn't this machine, and schema dev changes the database "
            "that it looks at. If it is yours alone, say --remote"
        )


def _hosts(url: sa.URL) -> list[str]:
    from psycopg import pq

    # What the URL leaves out libpq takes from PGHOST and its like.
    defaults = {option.keyword.decode(): (option.val or b"").decode() for option in pq.Conninfo.get_defaults()}
    said = url.get_dialect()().create_connect_args(url)[1]
    if said.get("service"):
        return [f"service {said['service']}"]
    host = said.get("hostaddr") or said.get("host") or defaults.get("hostaddr") or defaults.get("host") or ""
    return str(host).split(",")


def _is_local(host: str) -> bool:
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
