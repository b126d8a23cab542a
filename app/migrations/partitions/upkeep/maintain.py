"""`schema partitions maintain`: each declared table in turn, each step looked at again under the lock."""

import datetime as dt
from collections.abc import Collection
from pathlib import Path

import sqlalchemy as sa

from app import db
from app.errors import SchemaError, database_errors_in_one_line
from app.migrations import run
from app.migrations.ahead import read_ahead
from app.migrations.errors import ConfigurationError
from app.migrations.partitions.catalog import partition_key
from app.migrations.partitions.upkeep.maintenance import Maintenance, Options
from app.migrations.partitions.upkeep.partitioned import Partitions
from app.migrations.partitions.upkeep.plain import PlainTable
from app.migrations.project import Project
from app.partitions import Declared


def maintain(
    project: Project,
    engine: sa.Engine | None = None,
    *,
    tables: Collection[str] = (),
    dry_run: bool = False,
    archive: Path | None = None,
    accept_empty: bool = False,
    lock_timeout: float | None = None,
    now: dt.datetime | None = None,
) -> Maintenance:
    """Makes the partitions ahead, and ends the rows that are older than they are kept.

    It can run in many places at once, and be killed at any moment: the next run goes on.

    Args:
        project: whose tables.
        engine: the database; the project's if None.
        tables: the declared tables; all if there are none.
        dry_run: only plan.
        archive: a folder; each partition is written there before it is dropped.
        accept_empty: everything in a table may go.
        lock_timeout: the longest wait for another migration, in seconds; else the project's limit.
        now: the moment, naive and UTC; None is the server's clock.

    Raises:
        ConfigurationError: a table isn't declared.
        SchemaError: the database can't be reached.
    """
    chosen = _chosen(project, tables)
    options = Options(archive and archive.absolute(), accept_empty, lock_timeout, now)
    result = Maintenance(run.shown(project, engine), done=not dry_run)
    with run.reading(project, engine) as connection:  # makes no file of SQLite that isn't there
        kinds = {own.table: _kind(connection, own, result) for own in chosen}
        for low in [ahead for ahead in read_ahead(connection, now) if ahead.is_low]:
            if low.table not in project.declarations():
                result.note(
                    f"{low.table}: no partition is made any more, since its model doesn't declare Partitioned(...). "
                    "Declare it again, or make them by hand"
                )
    engine = engine if engine is not None else db.migration_engine(run.database_url(project), read_only=dry_run)
    for declared in chosen:
        kind = kinds[declared.table]
        if kind is None:
            continue
        work = kind(project, engine, declared, options, result)
        try:
            with database_errors_in_one_line(f"{declared.table} is left as it is, and the next run goes on"):
                work.plan() if dry_run else work.run()
        except SchemaError as error:
            work.failed(error)
    return result


def _chosen(project: Project, tables: Collection[str]) -> list[Declared]:
    declared = project.declarations()
    if unknown := [table for table in tables if table not in declared]:
        listed = ", ".join(declared) or "none"
        raise ConfigurationError(
            f"{unknown[0]} isn't declared: a table's partitions and retention are in its model, as Partitioned(...). "
            f"Declared: {listed}"
        )
    return [own for own in declared.values() if not tables or own.table in tables]


def _kind(
    connection: sa.Connection, declared: Declared, result: Maintenance
) -> type[Partitions] | type[PlainTable] | None:
    """Returns the upkeep of a table; None, with a note, if there is nothing that it could do."""
    if connection.dialect.name == "postgresql" and partition_key(connection, declared.table) is not None:
        return Partitions
    inspector = sa.inspect(connection)
    if declared.table in inspector.get_table_names():
        return PlainTable
    if inspector.has_table(declared.table):  # its rows are those of a table that isn't declared
        result.note(f"{declared.table} is a view or a foreign table, no table of this database: left alone")
    else:
        result.note(f"{declared.table}: there is no such table yet: schema deploy makes it")
    return None
