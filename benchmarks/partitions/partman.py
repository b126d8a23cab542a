"""pg_partman as a peer: Debian's package for server 15, on the same rows and the same simulated weeks.

`run_maintenance` has no argument for the time. It makes partitions ahead of the newest row, and drops what is older
than `now() - retention`; so the retention is set to what makes that the simulated moment less 90 days.
"""

import datetime as dt

from benchmarks.partitions import data
from tests.postgres import Server

MAJOR = 15
_SETUP = [
    "CREATE SCHEMA partman",
    "CREATE EXTENSION pg_partman SCHEMA partman",
]
_PARENT = """
SELECT partman.create_parent('public.request_logs', 'request_time', 'native', '1 week', p_premake := 4,
    p_start_partition := %s)
"""
_KEPT = (
    "UPDATE partman.part_config SET retention_keep_table = false, retention_keep_index = false, drop_cascade_fk = false"
)
_RETENTION = "UPDATE partman.part_config SET retention = %s::interval::text"


def is_there(server: Server) -> bool:
    """Returns whether the server has the extension."""
    with data.connect(server.url) as connection:
        question = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_partman'"
        row = connection.execute(question).fetchone()
        return row is not None and row[0] > 0


def version(server: Server) -> str:
    """Returns the extension's version."""
    with data.connect(server.url) as connection:
        question = "SELECT default_version FROM pg_available_extensions WHERE name = 'pg_partman'"
        row = connection.execute(question).fetchone()
        return str(row[0]) if row is not None else "none"


def takes_over(url: str, start: dt.datetime) -> None:
    """Hands an empty partitioned table without partitions to pg_partman."""
    with data.connect(url) as connection:
        for statement in _SETUP:
            connection.execute(statement.encode())
        connection.execute(_PARENT, [str(start)])
        connection.execute(_KEPT)


def run_maintenance(url: str, now: dt.datetime, keep: dt.timedelta) -> None:
    """Runs the maintenance as at a simulated moment."""
    with data.connect(url) as connection:
        real = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        connection.execute(_RETENTION, [keep - (now - real)])
        connection.execute("SELECT partman.run_maintenance('public.request_logs')")
