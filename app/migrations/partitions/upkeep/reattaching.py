"""The way back of a detached partition, after `keep` was raised."""

import sqlalchemy as sa

from app.migrations.ahead import Mark, State
from app.migrations.limits import limit
from app.migrations.partitions.catalog import Partition, attached
from app.migrations.partitions.defaults import attaching, default_of, require_empty
from app.migrations.partitions.leaves import Parent, foreign_keys, marking
from app.migrations.partitions.ranges import Range
from app.migrations.partitions.transactions import (
    again,
    execute,
    record,
    short_transaction,
    wait_briefly,
    wait_patiently,
)
from app.migrations.project import Project
from app.migrations.run import Outcome
from app.periods import FIRST_MOMENT, LAST_MOMENT
from app.sql_text import fitting, quoted

_HAS = "SELECT convalidated FROM pg_constraint WHERE conrelid = to_regclass(:table) AND conname = CAST(:name AS name)"


def take_back(project: Project, engine: sa.Engine, parent: Parent, by: str, own: Partition) -> None:
    """Attaches a partition again, and marks it as kept. The caller holds the migration lock.

    The bounds, and foreign keys that are missing, are validated before, while nobody waits. ATTACH would read the
    partition, and hold the tables that its foreign keys refer to meanwhile.
    """
    assert own.mark is not None
    range_ = Range.of(own.mark.low, own.mark.high)
    subject = f"Attaching {own.name} again"
    with short_transaction(engine, project) as connection:
        wanted = foreign_keys(connection, parent)
    wanted.append((_check_name(own), _check(parent, by, range_)))
    for name, definition in wanted:
        again(project, subject, lambda n=name, d=definition: _add(project, engine, own, n, d))  # type: ignore[misc]
        again(project, subject, lambda n=name: _validate(project, engine, own, n))  # type: ignore[misc]
    again(project, subject, lambda: _attach(project, engine, parent, by, own))


def _add(project: Project, engine: sa.Engine, own: Partition, name: str, definition: str) -> None:
    with short_transaction(engine, project) as connection:
        if connection.execute(sa.text(_HAS), {"table": own.address, "name": name}).first() is None:
            execute(connection, f"ALTER TABLE {own.address} ADD CONSTRAINT {quoted(name)} {definition} NOT VALID")


def _validate(project: Project, engine: sa.Engine, own: Partition, name: str) -> None:
    with short_transaction(engine, project) as connection:
        if connection.execute(sa.text(_HAS), {"table": own.address, "name": name}).scalar() is False:
            limit(connection, "statement_timeout", 0)
            execute(connection, f"ALTER TABLE {own.address} VALIDATE CONSTRAINT {quoted(name)}")


def _check_name(own: Partition) -> str:
    return fitting(f"{own.name}_bounds")


def _check(parent: Parent, by: str, range_: Range) -> str:
    """Returns the CHECK that proves to ATTACH that all rows lie within the bounds."""
    column, parts = quoted(by), [f"{quoted(by)} IS NOT NULL"]
    parts += [f"{column} >= {parent.moment(range_.low)}"] if range_.low != FIRST_MOMENT else []
    parts += [f"{column} < {parent.moment(range_.high)}"] if range_.high != LAST_MOMENT else []
    return f"CHECK ({' AND '.join(parts)})"


def _attach(project: Project, engine: sa.Engine, parent: Parent, by: str, own: Partition) -> None:
    low, high = own.span
    range_ = Range.of(low, high)
    with short_transaction(engine, project) as connection:
        wait_patiently(connection, project)
        execute(connection, f"LOCK TABLE ONLY {parent.address} IN SHARE UPDATE EXCLUSIVE MODE")
        default = default_of(attached(connection, parent.table))
        if default is not None:
            require_empty(connection, parent, by, default, range_)
        evidence = {"table": parent.table, "low": low, "high": high}
        record(connection, project, Outcome.CREATED, f"partition {own.name}", "attached again: it is kept", evidence)
        wait_briefly(connection, project)
        with attaching(connection, parent, by, default, range_):
            bounds = parent.bounds(low, high)
            execute(connection, f"ALTER TABLE {parent.address} ATTACH PARTITION {own.address} {bounds}")
        execute(connection, f"ALTER TABLE {own.address} DROP CONSTRAINT {quoted(_check_name(own))}")
        execute(connection, marking(own.address, Mark(parent.table, low, high, State.KEPT)))
