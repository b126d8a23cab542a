"""New partitions: made as tables of their own, then attached, so that no reader and no writer waits."""

import datetime as dt
from dataclasses import dataclass

import sqlalchemy as sa

from app import db
from app.migrations import run
from app.migrations.ahead import Mark, State
from app.migrations.errors import MigrationError
from app.migrations.limits import limit
from app.migrations.partitions.catalog import Partition, attached, named, standing_alone
from app.migrations.partitions.clock import server_now
from app.migrations.partitions.defaults import attaching, default_of, require_empty
from app.migrations.partitions.leaves import Parent, making, marking, pattern_of, replica_identity
from app.migrations.partitions.ranges import Range, missing
from app.migrations.partitions.transactions import (
    again,
    execute,
    has_rows,
    record,
    shortly,
    wait_briefly,
    wait_patiently,
)
from app.migrations.project import Project
from app.migrations.run import Outcome
from app.partitions import Declared

_MOST = 400  # of one run: more is a clock that jumped, or a period too short


@dataclass(frozen=True)
class Needed:
    """The partitions that a table lacks.

    Attributes:
        now: the moment that this was asked for, UTC.
        ranges: those to be made, oldest first.
        attached: the partitions that are there.
        left: tables of a killed run, made and not attached.
    """

    now: dt.datetime
    ranges: list[Range]
    attached: list[Partition]
    left: list[Partition]


def needed(connection: sa.Connection, declared: Declared, now: dt.datetime | None = None) -> Needed:
    """Returns the partitions that a table lacks now.

    Args:
        connection: reading joins its transaction.
        declared: the table.
        now: the moment, naive and UTC; None is the server's clock.

    Raises:
        MigrationError: there would be too many.
    """
    moment = server_now(connection, now)
    there = attached(connection, declared.table)
    taken = [Range.of(own.low, own.high) for own in there if own.is_range]
    ranges = missing(taken, declared.schedule, moment)
    if len(ranges) > _MOST:
        raise MigrationError(
            f"{declared.table}: {len(ranges)} partitions would be made, from {ranges[0].low} to {ranges[-1].high}. "
            f"Is the server's clock right ({moment:%Y-%m-%d %H:%M} UTC)? Else declare a longer period than "
            f"{declared.schedule.every}, or fewer of them ahead."
        )
    return Needed(moment, ranges, there, standing_alone(connection, declared.table, State.MAKING))


def create_ahead(
    project: Project, engine: sa.Engine, declared: Declared, now: dt.datetime | None = None
) -> list[Partition]:
    """Makes and attaches all partitions that a table lacks; returns them. The caller holds the migration lock.

    Args:
        project: whose database.
        engine: the database.
        declared: the table, which is partitioned.
        now: as in `needed`.

    Raises:
        MigrationError: the table isn't partitioned as declared, or the database refuses a step.
    """
    made = []
    with db.connect(engine) as connection:
        while (own := create_next(project, connection, declared, needed(connection, declared, now))) is not None:
            made.append(own)
    return made


def create_next(project: Project, connection: sa.Connection, declared: Declared, found: Needed) -> Partition | None:
    """Makes and attaches the first partition that a table lacks; None if it has all.

    It first drops what a killed run has made and not attached: a revision may have changed the table since.

    Args:
        project: whose database.
        connection: ends with no transaction.
        declared: the table.
        found: what it lacks, read under the lock.
    """
    parent = Parent.of(connection, declared)
    for own in found.left:
        again(project, f"Dropping {own.name}", lambda own=own: _drop_left(project, connection, own))  # type: ignore[misc]
    if not found.ranges:
        return None
    range_ = found.ranges[0]
    name = new_name(connection, parent, range_)
    default = default_of(found.attached)
    new = _New(name, range_, pattern_of(parent, found.attached), declared.by, default)
    again(project, f"Making {name}", lambda: _make(project, connection, parent, new))
    again(project, f"Attaching {name}", lambda: _attach(project, connection, parent, new))
    run.log.info("%s: made %s, from %s to %s UTC", declared.table, name, range_.low, range_.high)
    made = named(attached(connection, declared.table), name)
    connection.rollback()
    return made


def new_name(connection: sa.Connection, parent: Parent, range_: Range) -> str:
    """Returns the name of a new partition: after its first day, with a number if that is taken."""
    return parent.free_name(connection, f"{parent.table}_p{range_.low:%Y%m%d}")


@dataclass(frozen=True)
class _New:
    """A partition to be made: its name, its bounds, and the table that it is like."""

    name: str
    range: Range
    pattern: str
    by: str
    default: Partition | None


def _make(project: Project, connection: sa.Connection, parent: Parent, new: _New) -> None:
    with shortly(connection, project):
        execute(connection, *making(connection, parent, new.name, new.range, new.pattern))


def _attach(project: Project, connection: sa.Connection, parent: Parent, new: _New) -> None:
    leaf = parent.address_of(new.name)
    low, high = new.range.low, new.range.high
    bounds = parent.bounds(low, high)
    with shortly(connection, project):
        wait_patiently(connection, project)
        execute(connection, f"LOCK TABLE ONLY {parent.address} IN SHARE UPDATE EXCLUSIVE MODE")
        if new.default is not None:
            require_empty(connection, parent, new.by, new.default, new.range)
        # Before the tables of foreign keys are locked: the row of the ledger takes some milliseconds.
        evidence = {"table": parent.table, "low": low, "high": high}
        record(connection, project, Outcome.CREATED, f"partition {new.name}", f"from {low} to {high} UTC", evidence)
        wait_briefly(connection, project)
        with attaching(connection, parent, new.by, new.default, new.range):
            execute(connection, f"ALTER TABLE {parent.address} ATTACH PARTITION {leaf} {bounds}")
        limit(connection, "statement_timeout", project.limits().statement)
        execute(connection, *replica_identity(connection, parent, leaf, new.pattern))
        execute(connection, marking(leaf, Mark(parent.table, low, high, State.KEPT)))


def _drop_left(project: Project, connection: sa.Connection, own: Partition) -> None:
    """Drops a table that was made and not attached; leaves it alone if it has rows."""
    with shortly(connection, project):
        execute(connection, f"LOCK TABLE {own.address} IN ACCESS EXCLUSIVE MODE")
        if has_rows(connection, own.address):
            return
        execute(connection, f"DROP TABLE {own.address}")
