"""The server's clock, which all partitions and all retention go by, and its difference from this machine's."""

import datetime as dt

import sqlalchemy as sa

_POSTGRESQL = "SELECT timezone('utc', clock_timestamp())"
_MOST = dt.timedelta(hours=1)


def server_now(connection: sa.Connection, now: dt.datetime | None = None) -> dt.datetime:
    """Returns `now`, or the time of the server's clock, naive and UTC; on SQLite this machine's."""
    if now is not None:
        return now
    if connection.dialect.name != "postgresql":
        return machine_now()
    moment = connection.exec_driver_sql(_POSTGRESQL).scalar_one()
    assert isinstance(moment, dt.datetime)
    return moment


def machine_now() -> dt.datetime:
    """Returns the time of this machine's clock, naive and UTC."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


def disagreement(connection: sa.Connection) -> str | None:
    """Returns a sentence if the clocks of server and machine differ by more than an hour; else None."""
    server, machine = server_now(connection), machine_now()
    if abs(server - machine) <= _MOST:
        return None
    return (
        f"the server's clock says {server:%Y-%m-%d %H:%M} UTC and this machine's {machine:%Y-%m-%d %H:%M} UTC: no row "
        "is deleted by a clock that may be wrong. Set it right, and run the same command again"
    )
