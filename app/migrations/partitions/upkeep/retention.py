"""Partitions whose rows are all older than they are kept, and those whose retirement is to be taken back.

A partition is marked as retiring, detached, archived if that is wanted, and dropped. The marks in the catalog tell how
far it is, so any run can go on with it.
"""

import datetime as dt
from dataclasses import dataclass, field

import sqlalchemy as sa

from app.migrations.ahead import State
from app.migrations.errors import MigrationError
from app.migrations.partitions.catalog import Partition, attached, standing_alone
from app.migrations.partitions.clock import disagreement, server_now
from app.migrations.partitions.leaves import Parent
from app.migrations.partitions.ranges import expired
from app.migrations.partitions.transactions import has_rows
from app.partitions import Declared
from app.sql_text import quoted

_LISTED = 3


@dataclass(frozen=True)
class Due:
    """The partitions of a table that something is to be done about.

    Attributes:
        now: the moment that they are compared with, UTC.
        retiring: attached ones to be detached and dropped, oldest first.
        detached: those that stand alone and are to be dropped.
        taken_back: those whose retirement had begun, and whose rows are kept now.
        pending: those that a person began to detach.
        has_default: there is a default partition.
        notes: what is left alone.
    """

    now: dt.datetime
    retiring: list[Partition] = field(default_factory=list)
    detached: list[Partition] = field(default_factory=list)
    taken_back: list[Partition] = field(default_factory=list)
    pending: list[Partition] = field(default_factory=list)
    has_default: bool = False
    notes: list[str] = field(default_factory=list)


def due(connection: sa.Connection, declared: Declared, now: dt.datetime | None) -> Due:
    """Looks at the partitions of a table.

    Args:
        connection: reading joins its transaction.
        declared: the table.
        now: the moment, naive and UTC; None is the server's clock.
    """
    moment = server_now(connection, now)
    there, alone = attached(connection, declared.table), standing_alone(connection, declared.table)
    found = Due(moment, has_default=any(own.is_default for own in there))
    for own in there:
        _sort_attached(found, declared, own)
    for own in alone:
        assert own.mark is not None
        if own.mark.state is State.RETIRING:
            is_expired = expired(own.mark.high, declared.schedule, moment)
            (found.detached if is_expired else found.taken_back).append(own)
        elif own.mark.state is State.KEPT:
            found.notes.append(f"{own.name} was detached by a person: left alone, with its rows")
    found.notes.extend(_unmarked(declared.table, there))
    return found


def reason(declared: Declared, own: Partition) -> str:
    """Returns why a partition is dropped."""
    return f"all rows are older than {declared.schedule.keep} (until {own.span[1]:%Y-%m-%d %H:%M} UTC)"


def require_consent(
    connection: sa.Connection, declared: Declared, found: Due, *, accept_empty: bool, checks_clock: bool
) -> None:
    """Refuses to drop anything if a clock may be wrong.

    Args:
        connection: reading joins its transaction.
        declared: the table, which is partitioned.
        found: what would be dropped.
        accept_empty: everything may go.
        checks_clock: the moment is that of the server's clock.

    Raises:
        MigrationError: nothing is dropped.
    """
    wrong = disagreement(connection) if checks_clock else None
    if wrong is not None:
        raise MigrationError(f"Nothing was dropped: {wrong}.")
    keep = declared.schedule.keep
    if accept_empty or keep is None:
        return
    parent, column = Parent.of(connection, declared), quoted(declared.by)
    oldest = parent.moment(keep.before(found.now))
    if has_rows(connection, f"{parent.address} WHERE {column} >= {oldest}"):
        return
    if any(has_rows(connection, own.address) for own in [*found.retiring, *found.detached]):
        raise MigrationError(
            f"Nothing was dropped: no row of {declared.table} is younger than {keep}, so that all of them would go. Is "
            f"the server's clock right ({found.now:%Y-%m-%d %H:%M} UTC)? If it is, say --accept-empty"
        )


def _sort_attached(found: Due, declared: Declared, own: Partition) -> None:
    if own.mark is None or own.is_default:
        return
    is_expired = expired(own.high, declared.schedule, found.now)
    if own.kind != "r" or not own.is_range:
        found.notes.append(f"{own.name} isn't an ordinary table with bounds in time: left alone")
    elif not own.is_beside:  # detached, it would be found by nobody
        found.notes.append(f"{own.name} is in another schema than {declared.table}: left alone, whatever the age")
    elif own.mark.state is State.RETIRING:
        (found.retiring if is_expired else found.taken_back).append(own)
    elif own.is_pending:
        found.pending.append(own)
    elif is_expired:
        found.retiring.append(own)


def _unmarked(table: str, there: list[Partition]) -> list[str]:
    names = [own.name for own in there if own.mark is None and not own.is_default]
    defaults = [own.name for own in there if own.is_default]
    notes = [
        f"the detachment of {own.name} was interrupted, and beside it nothing else is detached: ALTER TABLE "
        f"{quoted(table)} DETACH PARTITION {own.address} FINALIZE"
        for own in there
        if own.mark is None and own.is_pending
    ]
    if names:
        listed = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
        verb = "are" if len(names) > 1 else "is"
        notes.append(
            f"{listed} of {table} {verb} not ours: left alone, whatever the age. To take over: schema partitions adopt "
            f"{table}"
        )
    if defaults:
        notes.append(
            f"{defaults[0]} is a default partition: its rows are never dropped, and beside it nothing is detached "
            "concurrently, but under a lock that all wait for"
        )
    return notes
