"""The planner's statistics of a partitioned table: autovacuum collects those of its partitions only."""

import sqlalchemy as sa

from app.errors import met_a_lock
from app.migrations.partitions.leaves import Parent
from app.migrations.partitions.transactions import SHORT_SECONDS, execute, outside

_ONLY = 180000  # from this version on the partitions can be left out
_DAYS = 7  # between two times before that
_STATE = f"""
SELECT current_setting('server_version_num')::int AS version,
       coalesce(pg_stat_get_last_analyze_time(to_regclass(:table)) > clock_timestamp() - interval '{_DAYS} days', false)
       AS is_recent
"""


def analyze(engine: sa.Engine, parent: Parent) -> bool:
    """Collects the statistics of the table, from a sample of its partitions; no statement of a service waits for that.

    Before PostgreSQL 18 those of each partition are collected with them, so it is done once a week at most.

    Returns:
        False if it isn't time, or if another session changes the table, so that they stay as they were.
    """
    with outside(engine, lock_timeout=SHORT_SECONDS) as connection:
        state = connection.execute(sa.text(_STATE), {"table": parent.address}).one()
        if state.version < _ONLY and state.is_recent:
            return False
        try:
            execute(connection, f"ANALYZE {'ONLY ' if state.version >= _ONLY else ''}{parent.address}")
        except sa.exc.DBAPIError as error:
            if not met_a_lock(error):
                raise
            return False
        return True


def is_analyzed(connection: sa.Connection, address: str) -> bool:
    """Returns whether statistics were ever collected."""
    statement = sa.text("SELECT reltuples >= 0 FROM pg_class WHERE oid = to_regclass(:table)")
    return bool(connection.execute(statement, {"table": address}).scalar())
