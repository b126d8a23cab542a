"""Locks of the tables that a transaction changes, taken so that in a deadlock it gives way, and not the service.

A session that waits for a lock looks for deadlocks after `deadlock_timeout`, and ends its own transaction if it is in
one. So this one waits shorter than that while it holds a lock. For its first table it waits longer: it holds nothing
then, and an autovacuum that is in the way is only ended by a session that has waited for so long.
"""

import re

import sqlalchemy as sa

from app.migrations.adopt.rights import names_table
from app.migrations.limits import deadlock_seconds, limit
from app.migrations.project import Limits
from app.sql_text import quoted

_COMMENT = re.compile(r"COMMENT ON ")
_WITHOUT_LIMIT = 60.0


class TableLocks:
    """The locks of one transaction, tried again and again.

    Args:
        statements: of the transaction.
        tables: those that are there.
        limits: of a statement's waiting and running.
    """

    def __init__(self, statements: list[str], tables: list[str], limits: Limits) -> None:
        self._limits = limits
        changes = [statement for statement in statements if not _COMMENT.match(statement)]
        self._modes = {
            table: "ACCESS EXCLUSIVE" if any(names_table(text, table) for text in changes) else "SHARE UPDATE EXCLUSIVE"
            for table in tables
            if any(names_table(text, table) for text in statements)
        }
        self._order = sorted(self._modes)

    def take(self, connection: sa.Connection) -> None:
        """Takes all locks, and sets the limits of the statements that follow.

        Raises:
            sqlalchemy.exc.DBAPIError: a table wasn't free in time; the next try begins with it.
        """
        deadlock = deadlock_seconds(connection)
        longest = max(self._limits.table_lock or _WITHOUT_LIMIT, 2 * deadlock)
        limit(connection, "statement_timeout", self._limits.statement)
        limit(connection, "lock_timeout", longest)
        for table in self._order:
            try:
                connection.exec_driver_sql(f"LOCK TABLE {quoted(table)} IN {self._modes[table]} MODE")
            except sa.exc.DBAPIError:
                self._order = [table, *(other for other in self._order if other != table)]
                raise
            limit(connection, "lock_timeout", min(longest, deadlock / 2))
