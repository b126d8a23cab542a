"""Default partitions, which others have made: a new partition beside one takes reading it, under a lock.

None is made here: it would forbid DETACH CONCURRENTLY, and rows in it would stand in the way of each new partition.
"""

import sqlalchemy as sa

from app.migrations.errors import MigrationError
from app.migrations.limits import limit, took_too_long
from app.migrations.partitions.catalog import Partition
from app.migrations.partitions.leaves import Parent
from app.migrations.partitions.ranges import Range
from app.migrations.partitions.transactions import has_rows
from app.sql_text import quoted

# ATTACH reads a default partition under a lock that stops its readers and writers.
LOOK_SECONDS = 0.2
_READ_SECONDS = 5.0


def default_of(partitions: list[Partition]) -> Partition | None:
    """Returns the default partition, if there is one."""
    return next((own for own in partitions if own.is_default), None)


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
            f"no other partition can take them. Move them: ALTER TABLE {parent.address} DETACH PARTITION "
            f"{default.address}; then schema partitions maintain, and INSERT INTO {parent.address} SELECT * FROM "
            f"{default.address}"
        )


def too_large(parent: Parent, by: str, default: Partition, range_: Range) -> MigrationError:
    """Returns the error of a default partition that can't be read while its lock is held."""
    column = quoted(by)
    check = f"CHECK ({column} < {parent.moment(range_.low)} OR {column} >= {parent.moment(range_.high)})"
    alter = f"ALTER TABLE {default.address}"
    name = quoted(f"not_from_{range_.low:%Y%m%d}")
    return MigrationError(
        f"{parent.table}: the default partition {default.name} would be read for more than {LOOK_SECONDS:g} s while "
        f"others wait for it. Prove before that it is empty from {range_.low} on, and run the same command again: "
        f"{alter} ADD CONSTRAINT {name} {check} NOT VALID; {alter} VALIDATE CONSTRAINT {name}"
    )
