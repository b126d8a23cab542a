"""Adoption of partitions that were made by hand, by pg_partman, or by another program: they get a mark of ours."""

import datetime as dt
from dataclasses import dataclass, field

import sqlalchemy as sa

from app import db
from app.migrations import run
from app.migrations.ahead import Mark, State
from app.migrations.errors import ConfigurationError, MigrationError
from app.migrations.partitions.catalog import Partition, attached, named
from app.migrations.partitions.clock import server_now
from app.migrations.partitions.leaves import Parent, marking
from app.migrations.partitions.ranges import expired
from app.migrations.partitions.transactions import again, execute, record, short_transaction, wait_patiently
from app.migrations.project import Project
from app.migrations.run import Outcome
from app.partitions import Declared
from app.sql_text import literal, quoted

_COMMENT = "SELECT obj_description(to_regclass(:table), 'pg_class')"
_CONFIGURATIONS = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'parent_table' AND NOT a.attisdropped
WHERE c.relname = 'part_config' AND c.relkind = 'r' AND has_table_privilege(c.oid, 'SELECT')
AND has_schema_privilege(n.oid, 'USAGE')
"""


@dataclass(frozen=True)
class Adopted:
    """A partition that is taken over, or would be.

    Attributes:
        low: its first moment, UTC; None is MINVALUE.
        high: the first moment after it; None is MAXVALUE.
        expires: all its rows are older than they are kept: the next `maintain` drops it.
        comment: what its comment was, which the mark replaces.
    """

    name: str
    low: dt.datetime | None
    high: dt.datetime | None
    rows: int
    bytes: int
    expires: bool
    comment: str | None


@dataclass
class PartitionAdoption:
    """The result of `adopt_partitions`.

    Attributes:
        database: its URL for people.
        adopted: the partitions that are taken over, or would be.
        left: the partitions that are left alone, with the reason.
        notes: what else is to be known, such as another program that keeps the partitions.
        done: false if it was only planned.
    """

    database: str
    table: str
    keep: str
    done: bool
    adopted: list[Adopted] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def adopt_partitions(
    project: Project,
    table: str,
    engine: sa.Engine | None = None,
    *,
    apply: bool = False,
    lock_timeout: float | None = None,
    now: dt.datetime | None = None,
) -> PartitionAdoption:
    """Marks partitions that others have made as ours, so that `maintain` keeps them.

    Args:
        project: whose tables.
        table: a declared table, which is partitioned.
        engine: the database; the project's if None.
        apply: do it; else only tell what would be done.
        lock_timeout: the longest wait for another migration, in seconds; else the project's limit.
        now: the moment, naive and UTC; None is the server's clock.

    Raises:
        ConfigurationError: the table isn't declared.
        MigrationError: it isn't partitioned as declared, or the database refuses.
    """
    declared = project.declarations().get(table)
    if declared is None:
        raise ConfigurationError(f"{table} isn't declared: its model needs Partitioned(...).")
    engine = engine if engine is not None else db.migration_engine(run.database_url(project), read_only=not apply)
    with run.reading(project, engine) as connection:
        if connection.dialect.name != "postgresql":
            raise MigrationError(f"{table} has no partitions to adopt: this database is SQLite.")
        parent = Parent.of(connection, declared)
        found = _look(connection, declared, run.shown(project, engine), now)
    if not apply:
        return found
    with run.writing(project, engine, lock_timeout):
        with db.connect(engine) as connection:
            found = _look(connection, declared, run.shown(project, engine), now)
        for own in found.adopted:
            again(project, f"Adopting {own.name}", lambda own=own: _mark(project, engine, parent, own))  # type: ignore[misc]
    found.done = True
    return found


def _look(connection: sa.Connection, declared: Declared, database: str, now: dt.datetime | None) -> PartitionAdoption:
    moment = server_now(connection, now)
    keep = declared.schedule.keep
    found = PartitionAdoption(database, declared.table, str(keep) if keep is not None else "ever", done=False)
    parent = Parent.of(connection, declared)
    for own in attached(connection, declared.table):
        if own.mark is not None:
            continue
        if why := _obstacle(parent, own):
            found.left.append(f"{own.name}: {why}")
            continue
        comment = connection.execute(sa.text(_COMMENT), {"table": own.address}).scalar()
        expires = expired(own.high, declared.schedule, moment)
        found.adopted.append(Adopted(own.name, own.low, own.high, own.rows, own.bytes, expires, comment))
    found.notes.extend(_programs(connection, declared))
    return found


def _obstacle(parent: Parent, own: Partition) -> str | None:
    """Returns why a partition can't be taken over; None if it can."""
    if own.is_default:
        return "a default partition has no bounds, so its rows are never dropped. New partitions beside it must wait"
    if own.kind == "p":
        return "it has partitions of its own"
    if own.kind != "r":
        return "it is a foreign table"
    if not own.is_beside:
        return f"it is in another schema than its table: ALTER TABLE {own.address} SET SCHEMA {quoted(parent.schema)}"
    if own.is_pending:
        return "its detachment was interrupted"
    if not own.is_range:
        return "its bounds aren't times that can be compared"
    return None


def _mark(project: Project, engine: sa.Engine, parent: Parent, own: Adopted) -> None:
    with short_transaction(engine, project) as connection:
        wait_patiently(connection, project)
        there = named([other for other in attached(connection, parent.table) if other.is_beside], own.name)
        if there is None or there.mark is not None or (there.low, there.high) != (own.low, own.high):
            return
        execute(connection, marking(there.address, Mark(parent.table, own.low, own.high, State.KEPT)))
        evidence = {"table": parent.table, "low": own.low, "high": own.high, "comment": own.comment}
        reason = "adopted: made by another program, or by hand"
        record(connection, project, Outcome.ADOPTED, f"partition {own.name}", reason, evidence)


def _programs(connection: sa.Connection, declared: Declared) -> list[str]:
    """Returns a note on each pg_partman that keeps the partitions of the table."""
    notes = []
    for (configuration,) in connection.exec_driver_sql(_CONFIGURATIONS).all():
        question = f"SELECT parent_table FROM {configuration} WHERE to_regclass(parent_table) = to_regclass(:table)"
        for (parent_table,) in connection.execute(sa.text(question), {"table": quoted(declared.table)}).all():
            notes.append(
                f"pg_partman keeps the partitions of {declared.table} as well. Let one of both do it: "
                f"DELETE FROM {configuration} WHERE parent_table = {literal(parent_table)};"
            )
    return notes
