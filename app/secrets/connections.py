"""Connections of the commands of `schema secrets`, and their errors in one line."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa

from app import database_url, db, server_session
from app.backfill import Table
from app.errors import SchemaError, database_errors_in_one_line

LOCK_TIMEOUT = "2s"
# SQLite asks for a lock often at first and ten times a second later, which another busy writer can starve.
BUSY_MILLISECONDS = 300
KEPT = "What was written is kept; run the same command again."


def require_database(url: sa.URL) -> sa.URL:
    """Returns the URL; raises `SchemaError` if it is that of a file which isn't there."""
    if not db.has_file(url):
        raise SchemaError(f"There is no database at {database_url.shown(url)}.")
    return url


@contextmanager
def open_table(
    url: sa.URL, name: str, columns: Sequence[str], *, process: str, read_only: bool = False
) -> Iterator[Table]:
    """Gives a table on a connection of its own, on which no statement waits long for a lock; `process` names it."""
    engine = db.migration_engine(url, read_only=read_only)
    with db.connect(engine).execution_options(isolation_level="AUTOCOMMIT") as connection:
        pooled = server_session.is_pooled(connection)  # and then the server's session is not only ours
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        elif not pooled:
            server_session.pin_session(connection)
            application = f"schema secrets {process}"[:63]
            connection.execute(sa.text("SELECT set_config('application_name', :name, false)"), {"name": application})
            # A page that meets a lock is halved and tried again, so it need not wait long.
            connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        yield Table(connection, name, columns, lock_timeout=LOCK_TIMEOUT if pooled else None)


@contextmanager
def errors_in_one_line(advice: Callable[[], str] = lambda: "Nothing was written.") -> Iterator[None]:
    """Raises errors of the database as one line; `advice` is asked afterwards what became of the rows."""
    try:
        yield
    except sa.exc.NoSuchTableError as error:
        raise SchemaError(
            f"There is no table {error} in this database. Run: alembic upgrade head, or choose another with --table."
        ) from None
    except sa.exc.DBAPIError:
        with database_errors_in_one_line(advice()):
            raise
