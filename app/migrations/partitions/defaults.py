"""Default partitions, which others have made: a new partition beside one takes reading it, under a lock.

None is made here: it would forbid DETACH CONCURRENTLY, and rows in it would stand in the way of each new partition.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from app.migrations.errors import MigrationError
from app.migrations.limits import limit, took_too_long
from app.migrations.partitions.catalog import Partition
from app.migrations.partitions.leaves import Parent
from app.migrations.partitions.ranges import Range
from app.migrations.partitions.transactions import has_rows
from app.sql_text import quoted

_COLUMNS = """
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FILTER (WHERE attgenerated = '') AS names,
       bool_or(attgenerated <> '') AS has_generated
FROM pg_attribute WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped
"""
# ATTACH reads a default partition under a lock that stops its readers and writers.
_LOOK_SECONDS = 0.2
_READ_SECONDS = 5.0


def default_of(partitions: list[Partition]) -> Partition | None:
    """Returns the default partition, if there is one."""
    return next((own for own in partitions if own.is_default), None)


@contextmanager
def attaching(
    connection: sa.Connection, parent: Parent, by: str, default: Partition | None, range_: Range
) -> Iterator[None]:
    """Ends an ATTACH beside a default partition that takes too long to be read.

    Raises:
        MigrationError: it does.
    """
    if default is None:
        yield
        return
    limit(connection, "statement_timeout", _LOOK_SECONDS)
    try:
        yield
    except sa.exc.DBAPIError as error:
        if not took_too_long(error):
            raise
        raise _too_large(parent, by, default, range_) from None


def require_empty(connection: sa.Connection, parent: Parent, by: str, default: Partition, range_: Range) -> None:
    """Refuses a default partition with rows of a range. Reads it for some seconds at most, and blocks no session.

    Raises:
        MigrationError: there are some.
    """
    where = f"{quoted(by)} >= {parent.moment(range_.low)} AND {quoted(by)} < {parent.moment(range_.high)}"
    try:
        with connection.begin_nested():
            limit(connection, "statement_timeout", _READ_SECONDS)
            is_filled = has_rows(connection, f"{default.address} WHERE {where}")
    except sa.exc.DBAPIError as error:
        if not took_too_long(error):
            raise
        return  # a CHECK may prove to ATTACH that it is empty there
    if is_filled:
        raise MigrationError(
            f"{parent.table}: the default partition {default.name} has rows from {range_.low} to {range_.high} UTC, so "
            "no other partition can take them. Move them, at first in one transaction, so that no INSERT fails: "
            f"{_exchange(connection, parent, default, range_)}; then schema partitions adopt {parent.table} --apply; "
            f"schema partitions maintain; {_insert(connection, parent, default)}"
        )


def _exchange(connection: sa.Connection, parent: Parent, default: Partition, range_: Range) -> str:
    """Returns the transaction that puts a partition for a range in the place of a default one."""
    name = parent.address_of(parent.free_name(connection, f"{parent.table}_p{range_.low:%Y%m%d}"))
    return (
        f"BEGIN; SET LOCAL lock_timeout = '1s'; ALTER TABLE {parent.address} DETACH PARTITION {default.address}; "
        f"CREATE TABLE {name} PARTITION OF {parent.address} {parent.bounds(range_.low, range_.high)}; COMMIT"
    )


def _insert(connection: sa.Connection, parent: Parent, default: Partition) -> str:
    """Returns the statement that inserts the rows again; names the columns unless both tables have the same ones."""
    wanted, there = (
        connection.execute(sa.text(_COLUMNS), {"table": address}).one() for address in (parent.address, default.address)
    )
    if wanted == there and not wanted.has_generated:
        return f"INSERT INTO {parent.address} SELECT * FROM {default.address}"
    return f"INSERT INTO {parent.address} ({wanted.names}) SELECT {wanted.names} FROM {default.address}"


def _too_large(parent: Parent, by: str, default: Partition, range_: Range) -> MigrationError:
    """Returns the error of a default partition that can't be read while its lock is held."""
    column = quoted(by)
    check = f"CHECK ({column} < {parent.moment(range_.low)} OR {column} >= {parent.moment(range_.high)})"
    alter = f"ALTER TABLE {default.address}"
    name = quoted(f"not_from_{range_.low:%Y%m%d}")
    return MigrationError(
        f"{parent.table}: the default partition {default.name} would be read for more than {_LOOK_SECONDS:g} s while "
        f"others wait for it. Prove before that it is empty from {range_.low} on, and run the same command again: "
        f"{alter} ADD CONSTRAINT {name} {check} NOT VALID; {alter} VALIDATE CONSTRAINT {name}"
    )
