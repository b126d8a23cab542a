"""Brief transactions under strong locks, on tables that a service uses.

A session that waits for a strong lock holds up all that come after it. So each wait is shorter than anyone notices, and
is tried again, with pauses between. It is shorter than `deadlock_timeout`, too: in a deadlock this session gives way.

An autovacuum gives way only to a session that has waited for `deadlock_timeout`. So the table is first locked as a
VACUUM locks it, and no statement of a service waits for that. The lock keeps the table as it is, so that the
statements can be made from the catalog.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import sqlalchemy as sa

from app.errors import met_a_lock
from app.migrations import run
from app.migrations.errors import refused
from app.migrations.limits import deadlock_seconds, limit
from app.migrations.partitions.transactions import execute
from app.migrations.project import Limits

STRONG_WAIT_SECONDS = 0.05
_SHORTEST_WAIT_SECONDS = 0.01
_STATEMENT_SECONDS = 5.0  # what is meant to be brief, and reads a table after all, is ended
_PAUSE_SECONDS = (0.1, 3.0)
_WEAK_MODE = "SHARE UPDATE EXCLUSIVE"
_MAY_LOCK = """
SELECT pg_has_role(relowner, 'USAGE') OR has_table_privilege(oid, 'UPDATE') OR has_table_privilege(oid, 'DELETE')
FROM pg_class WHERE oid = to_regclass(:table)
"""
# Those that hold a lock of the tables, the oldest transaction first.
_HOLDERS = """
SELECT DISTINCT a.pid, coalesce(a.application_name, ''), coalesce(a.state, ''),
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.backend_start))::int, coalesce(a.query, '')
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.relation = ANY(SELECT to_regclass(name) FROM unnest(CAST(:tables AS text[])) name) AND l.granted
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND a.pid <> pg_backend_pid()
ORDER BY 4 DESC LIMIT 1
"""


@dataclass
class Brief:
    """Transactions under strong locks, each tried until it passes.

    Args:
        engine: the database.
        limits: of waiting and trying.
        require_lock: raises if the migration lock is lost.
        say: told of each pause that is worth a line.
    """

    engine: sa.Engine
    limits: Limits
    require_lock: Callable[[], None]
    say: Callable[[str], None]
    held_seconds: float = 0
    _first: list[str] = field(default_factory=list)
    _began: float = 0

    def until_free(self, work: Callable[[sa.Connection], None], tables: list[str]) -> bool:
        """Runs a transaction until it passes; returns False if tables are in use for as long as a step is tried.

        Args:
            work: takes its locks by `lock`; all of it is rolled back if one isn't free.
            tables: named to the operator with those that use them.

        Raises:
            MigrationError: the database refuses it, or the migration lock is lost.
        """
        deadline, pause, said = time.monotonic() + self.limits.retry, _PAUSE_SECONDS[0], 0.0
        self._first = []
        while True:
            self.require_lock()
            try:
                with run.transaction(self.engine) as connection:
                    work(connection)
                    began = self._began
                self.held_seconds = time.monotonic() - began
            except sa.exc.DBAPIError as error:
                if not met_a_lock(error):
                    raise refused(error, "The conversion") from None
                if time.monotonic() + pause > deadline:
                    return False
                if time.monotonic() - said > _PAUSE_SECONDS[1]:
                    said = time.monotonic()
                    self.say(f"a table is in use{self._holder(tables)}; rolled back, trying again")
                time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads the tries, hides nothing
                pause = min(pause * 2, _PAUSE_SECONDS[1])
            else:
                return True

    def look(self, connection: sa.Connection, table: str) -> None:
        """Keeps a table as it is, without keeping any statement of a service waiting."""
        wait = max(self.limits.table_lock, 2 * deadlock_seconds(connection))
        limit(connection, "lock_timeout", wait)
        limit(connection, "statement_timeout", self.limits.statement)
        # Without a tablespace of its own, a new table or index is in the database's, as the old one is.
        connection.exec_driver_sql("SELECT set_config('default_tablespace', '', true)")
        self._began = time.monotonic()
        execute(connection, f"LOCK TABLE {table} IN {_WEAK_MODE} MODE")

    def lock(self, connection: sa.Connection, modes: dict[str, str]) -> None:
        """Takes strong locks, the last one last; the statements that follow have short limits.

        Raises:
            sqlalchemy.exc.DBAPIError: a table wasn't free at once; the next try begins with it.
        """
        own = [table for table in modes if connection.execute(sa.text(_MAY_LOCK), {"table": table}).scalar()]
        for table in own:
            execute(connection, f"LOCK TABLE {table} IN {_WEAK_MODE} MODE")
        wait = min(STRONG_WAIT_SECONDS, deadlock_seconds(connection) / 4)
        limit(connection, "statement_timeout", _STATEMENT_SECONDS)
        self._began = time.monotonic()
        for table in [*(one for one in self._first if one in own), *(one for one in own if one not in self._first)]:
            # All of them together are waited for as long as one.
            left = max(wait - (time.monotonic() - self._began), _SHORTEST_WAIT_SECONDS)
            limit(connection, "lock_timeout", left)
            try:
                execute(connection, f"LOCK TABLE {table} IN {modes[table]} MODE")
            except sa.exc.DBAPIError:
                self._first = [table]
                raise
        limit(connection, "lock_timeout", wait)

    def _holder(self, tables: list[str]) -> str:
        with run.transaction(self.engine) as connection:
            row = connection.execute(sa.text(_HOLDERS), {"tables": tables}).first()
        return f" by {run.Blocker.of(row)}" if row is not None else ""
