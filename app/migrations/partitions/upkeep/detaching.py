"""Detachments: concurrent where the server allows it, else under a lock that is given up at once if it isn't free."""

import sqlalchemy as sa

from app import db, server_session
from app.errors import Failure, met_a_lock
from app.migrations import run
from app.migrations.errors import MigrationError
from app.migrations.partitions.catalog import Partition
from app.migrations.partitions.leaves import Parent
from app.migrations.partitions.transactions import again, execute, outside, short_transaction
from app.migrations.project import Project
from app.migrations.run import Blocker

# Transactions that have read the table are waited for; no other session queues behind this wait.
_READERS_SECONDS = 30.0


class Refused(MigrationError):  # noqa: N818 - a state, rather than a fault
    """The database refuses to detach a partition, whoever else is at work."""


def detach(project: Project, engine: sa.Engine, parent: Parent, own: Partition, *, has_default: bool) -> None:
    """Detaches a partition, or ends a detachment that was interrupted. The caller holds the migration lock.

    Args:
        project: whose database.
        engine: the database.
        parent: the partitioned table.
        own: the partition.
        has_default: there is a default partition, beside which nothing is detached concurrently.

    Raises:
        MigrationError: another session has read the table for long. The next run goes on.
        Refused: the database refuses it, for instance since rows of another table refer to the partition's.
    """
    statement = f"ALTER TABLE {parent.address} DETACH PARTITION {own.address}"
    with db.connect(engine) as connection:
        is_pooled = server_session.is_pooled(connection)
    if own.is_pending and not is_pooled:
        _outside(project, engine, f"{statement} FINALIZE", own)
    elif own.is_pending:
        again(project, f"Detaching {own.name}", lambda: _inside(project, engine, f"{statement} FINALIZE", own))
    elif has_default or is_pooled:  # through a pooler no session can be told how long to wait
        again(project, f"Detaching {own.name}", lambda: _inside(project, engine, statement, own))
    else:
        _outside(project, engine, f"{statement} CONCURRENTLY", own)


def _inside(project: Project, engine: sa.Engine, statement: str, own: Partition) -> None:
    with short_transaction(engine, project) as connection:
        try:
            execute(connection, statement)
        except sa.exc.DBAPIError as error:
            if met_a_lock(error):
                raise
            raise _refused(own, error) from None


def _refused(own: Partition, error: sa.exc.DBAPIError) -> Refused:
    return Refused(f"{own.name} can't be detached, and is in use as before. The database refuses: {Failure.of(error)}")


def _outside(project: Project, engine: sa.Engine, statement: str, own: Partition) -> None:
    blockers: list[Blocker] = []

    def looked(found: list[Blocker]) -> None:
        if found:
            blockers[:] = found

    with outside(engine, lock_timeout=max(min(project.limits().retry, _READERS_SECONDS), 0.1)) as connection:
        pid = int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
        try:
            with run.watching(engine, pid, looked):
                execute(connection, statement)
        except sa.exc.DBAPIError as error:
            if not met_a_lock(error):
                raise _refused(own, error) from None
            named = "; ".join(map(str, blockers)) or "a session that has gone meanwhile"
            raise MigrationError(
                f"{own.name} can't be detached while an older transaction may read it: {named}. The next run goes on; "
                "until then the disk isn't free."
            ) from None
