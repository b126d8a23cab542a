"""Commits of pages: on the server's disk at the end, rather than one by one."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import sqlalchemy as sa

from app import server_session

_ASK = """
SELECT current_setting('synchronous_commit'), bool_and(has_function_privilege(oid, 'EXECUTE'))
FROM pg_proc WHERE proname = 'pg_logical_emit_message'
"""
# A commit waits for the disk only if its transaction wrote something; this writes, and changes nothing.
_WRITE = "SELECT pg_logical_emit_message(true, 'backfill', 'done')"


@contextmanager
def commits_at_end(connection: sa.Connection) -> Iterator[None]:
    """Lets PostgreSQL answer before a page is on its disk, and waits at the end until all pages are.

    A server that crashes meanwhile loses the last pages. Their rows are then as they were, and the next run takes them.
    Nothing changes on SQLite, behind a pooler, whose sessions others share, and for a role without the right to write
    a message into the log of the server.

    Args:
        connection: in AUTOCOMMIT.
    """
    if connection.dialect.name != "postgresql" or server_session.is_pooled(connection):
        yield
        return
    before, may_write = connection.exec_driver_sql(_ASK).one()
    if not may_write or before == "off":
        yield
        return
    connection.exec_driver_sql("SET synchronous_commit = off")
    try:
        yield
    except BaseException:
        with suppress(sa.exc.SQLAlchemyError):  # the connection may be lost
            connection.exec_driver_sql(f"SET synchronous_commit = {before}")
        raise
    connection.exec_driver_sql(f"SET synchronous_commit = {before}")
    connection.exec_driver_sql(_WRITE)
