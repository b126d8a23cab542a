"""Limits of the time that a statement of PostgreSQL waits and runs, in seconds; 0 is no limit."""

import sqlalchemy as sa

_TIMEOUTS = ("statement_timeout", "lock_timeout", "transaction_timeout")
_PRESENT = sa.text("SELECT name FROM pg_settings WHERE name = ANY(:names) ORDER BY 1")
_DEADLOCK = "SELECT extract(epoch FROM current_setting('deadlock_timeout')::interval)"
_CANCELLED = "57014"


def limit(connection: sa.Connection, name: str, seconds: float, *, session: bool = False) -> None:
    """Sets a limit of time. Does nothing on SQLite.

    Args:
        connection: in a transaction, unless `session` is set.
        name: of the setting.
        seconds: the limit.
        session: for the whole session, which must be ours alone.
    """
    if connection.dialect.name != "postgresql":
        return
    milliseconds = max(round(seconds * 1000), 1) if seconds else 0
    scope = "false" if session else "true"
    connection.exec_driver_sql(f"SELECT set_config('{name}', '{milliseconds}', {scope})")


def without_limits(connection: sa.Connection, *, session: bool = False) -> None:
    """Takes all limits of time from a transaction, or from a session that is ours alone."""
    for name in _present(connection):
        limit(connection, name, 0, session=session)


def reset_limits(connection: sa.Connection) -> None:
    """Gives a session the limits back that it began with."""
    for name in _present(connection):
        connection.exec_driver_sql(f"RESET {name}")


def deadlock_seconds(connection: sa.Connection) -> float:
    """Returns how long a session waits before it looks for a deadlock, or ends an autovacuum that is in its way."""
    return float(connection.exec_driver_sql(_DEADLOCK).scalar_one())


def took_too_long(error: sa.exc.DBAPIError) -> bool:
    """Returns whether a limit of time ended a statement."""
    return getattr(error.orig, "sqlstate", None) == _CANCELLED


def _present(connection: sa.Connection) -> list[str]:
    """Returns the names of the limits; `transaction_timeout` is there from PostgreSQL 17 on."""
    return list(connection.execute(_PRESENT, {"names": [*_TIMEOUTS]}).scalars())
