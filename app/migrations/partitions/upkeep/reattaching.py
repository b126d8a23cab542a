"""The way back of a detached partition, after `keep` was raised."""

import sqlalchemy as sa

from app.migrations.ahead import Mark, State
from app.migrations.limits import limit
from app.migrations.partitions.catalog import Partition
from app.migrations.partitions.leaves import Parent, foreign_keys, marking
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
from app.sql_text import quoted

_HAS = "SELECT convalidated FROM pg_constraint WHERE conrelid = to_regclass(:table) AND conname = CAST(:name AS name)"


def take_back(project: Project, engine: sa.Engine, parent: Parent, own: Partition) -> None:
    """Attaches a partition again, and marks it as kept. The caller holds the migration lock.

    Missing foreign keys are validated before, without a lock that services wait for.
    """
    subject = f"Attaching {own.name} again"
    with short_transaction(engine, project) as connection:
        wanted = foreign_keys(connection, parent)
    for name, definition in wanted:
        again(project, subject, lambda n=name, d=definition: _add(project, engine, own, n, d))  # type: ignore[misc]
        again(project, subject, lambda n=name: _validate(project, engine, own, n))  # type: ignore[misc]
    again(project, subject, lambda: _attach(project, engine, parent, own))


def _add(project: Project, engine: sa.Engine, own: Partition, name: str, definition: str) -> None:
    with short_transaction(engine, project) as connection:
        if connection.execute(sa.text(_HAS), {"table": own.address, "name": name}).first() is None:
            execute(connection, f"ALTER TABLE {own.address} ADD CONSTRAINT {quoted(name)} {definition} NOT VALID")


def _validate(project: Project, engine: sa.Engine, own: Partition, name: str) -> None:
    with short_transaction(engine, project) as connection:
        if connection.execute(sa.text(_HAS), {"table": own.address, "name": name}).scalar() is False:
            limit(connection, "statement_timeout", 0)
            execute(connection, f"ALTER TABLE {own.address} VALIDATE CONSTRAINT {quoted(name)}")


def _attach(project: Project, engine: sa.Engine, parent: Parent, own: Partition) -> None:
    low, high = own.span
    with short_transaction(engine, project) as connection:
        limit(connection, "statement_timeout", 0)  # it may scan the partition, which no service reads
        wait_patiently(connection, project)
        execute(connection, f"LOCK TABLE ONLY {parent.address} IN SHARE UPDATE EXCLUSIVE MODE")
        evidence = {"table": parent.table, "low": low, "high": high}
        record(connection, project, Outcome.CREATED, f"partition {own.name}", "attached again: it is kept", evidence)
        wait_briefly(connection, project)
        execute(connection, f"ALTER TABLE {parent.address} ATTACH PARTITION {own.address} {parent.bounds(low, high)}")
        execute(connection, marking(own.address, Mark(parent.table, low, high, State.KEPT)))
