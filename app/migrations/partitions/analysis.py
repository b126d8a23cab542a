"""The planner's statistics of a partitioned table: autovacuum collects those of its partitions only."""

import sqlalchemy as sa

from app import db
from app.errors import met_a_lock
from app.migrations.partitions.leaves import Parent
from app.migrations.partitions.transactions import execute, limit, short_wait, wait_for_locks
from app.migrations.project import Project

_ONLY = 180000  # from this version on the partitions can be left out


def analyze(project: Project, engine: sa.Engine, parent: Parent) -> bool:
    """Collects the statistics of the table, from a sample of its partitions; no statement of a service waits for that.

    Returns:
        False if another session changes the table, or vacuums it, so that they stay as they were.
    """
    with db.connect(engine) as connection, connection.begin():
        version = connection.exec_driver_sql("SELECT current_setting('server_version_num')::int").scalar_one()
        wait_for_locks(connection, short_wait(project))
        limit(connection, "statement_timeout", 0)
        try:
            execute(connection, f"ANALYZE {'ONLY ' if version >= _ONLY else ''}{parent.address}")
        except sa.exc.DBAPIError as error:
            if not met_a_lock(error):
                raise
            connection.rollback()
            return False
        return True


def is_analyzed(connection: sa.Connection, parent: Parent) -> bool:
    """Returns whether statistics were ever collected."""
    statement = sa.text("SELECT reltuples >= 0 FROM pg_class WHERE oid = to_regclass(:table)")
    return bool(connection.execute(statement, {"table": parent.address}).scalar())
