"""A look at a table that is to be partitioned, or made plain again: its state, its size, and what is in the way."""

import datetime as dt
import re
from dataclasses import dataclass, field, replace

import sqlalchemy as sa
from alembic.config import Config

from app.migrations import run
from app.migrations.ahead import bound_check, key_index
from app.migrations.drift import find_drift
from app.migrations.errors import ConfigurationError, MigrationError, PendingRevisions
from app.migrations.partitions.clock import server_now
from app.migrations.partitions.conversion.estimates import Estimate, estimate, newest
from app.migrations.partitions.conversion.refusals import TIMES, refusals
from app.migrations.partitions.conversion.swap import Target, taken_names
from app.migrations.partitions.facts import TableFacts, table_facts
from app.migrations.partitions.leaves import Parent
from app.migrations.project import Project
from app.migrations.snapshots import Snapshot, address_of, owner_of, quote
from app.partitions import Declared
from app.periods import Period, read_moment

LEAST_AHEAD = dt.timedelta(hours=6)
TOO_NEAR = dt.timedelta(hours=1)
_PATIENCE = 3  # times the estimate
_BOUND = re.compile(r"<\s*'([^']+)'")
_ONE = dt.timedelta(microseconds=1)


@dataclass(frozen=True)
class Look:
    """A table as it is.

    Attributes:
        now: the server's time, UTC.
        facts: of the table.
        bound: the end that the conversion has begun with; None before.
        is_proved: a valid CHECK holds that bound.
        has_key: the index that becomes the primary key is there and valid.
        has_broken_key: it is there, and a killed build has left it invalid.
        estimate: the size and the time.
        newest: the moment of the newest row, None if it isn't known, or there is no row.
        refusals: what is in the way, a line each.
    """

    declared: Declared
    now: dt.datetime
    facts: TableFacts
    bound: dt.datetime | None
    is_proved: bool
    has_key: bool
    has_broken_key: bool
    estimate: Estimate
    newest: dt.datetime | None = None
    taken: frozenset[str] = frozenset()
    refusals: list[str] = field(default_factory=list)

    @property
    def is_partitioned(self) -> bool:
        """Returns whether there is nothing left to convert."""
        return self.facts.kind == "p"

    @property
    def has_begun(self) -> bool:
        """Returns whether an earlier run has left something on the plain table."""
        return not self.is_partitioned and (self.bound is not None or self.has_key or self.has_broken_key)

    @property
    def is_near(self) -> bool:
        """Returns whether the bound that is there must be moved: soon the service would write rows beyond it."""
        if self.bound is None:
            return False
        is_past = self.newest is not None and self.newest >= self.bound
        return self.bound - self.now < TOO_NEAR or is_past

    @property
    def wanted_bound(self) -> dt.datetime:
        """Returns the bound that is there, or the one that a conversion beginning now would have."""
        if self.bound is not None and not self.is_near:
            return self.bound
        return first_bound(self.declared.schedule.every, self.now, self.estimate.seconds, self.newest)

    @property
    def target(self) -> Target:
        """Returns what the swap is made from."""
        return Target(self.facts, self.declared.by, self.wanted_bound, self.taken)


def first_bound(every: Period, now: dt.datetime, seconds: float, newest_row: dt.datetime | None) -> dt.datetime:
    """Returns the first beginning of a period that lies far enough ahead, and after the newest row."""
    ahead = max(_PATIENCE * dt.timedelta(seconds=seconds), LEAST_AHEAD)
    bound = every.next_start(now + ahead - _ONE)
    return max(bound, every.next_start(newest_row)) if newest_row is not None else bound


def declared_as(project: Project, table: str) -> Declared:
    """Returns the declaration of a table.

    Raises:
        ConfigurationError: it isn't declared.
    """
    declarations = project.declarations()
    if table in declarations:
        return declarations[table]
    if table not in project.tables():
        known = ", ".join(sorted(declarations)) or "none"
        raise ConfigurationError(f"The models have no table {table}. Declared to be partitioned: {known}.")
    raise ConfigurationError(
        f"The models don't declare {table} as partitioned. Add to its __table_args__: "
        'Partitioned(by="COLUMN", every="week", keep="90 days")'
    )


def require_postgresql(connection: sa.Connection, table: str) -> None:
    """Raises `ConfigurationError` on SQLite."""
    if connection.dialect.name != "postgresql":
        raise ConfigurationError(
            f"SQLite has no partitions: {table} stays a plain table, whose old rows schema partitions maintain deletes "
            "page by page."
        )


def look(
    connection: sa.Connection, project: Project, config: Config, declared: Declared, *, patient: bool = False
) -> Look:
    """Looks at a table. Writes nothing.

    Args:
        connection: reading joins its transaction.
        project: whose database.
        config: of Alembic.
        declared: the table.
        patient: reads the whole table for its newest row, if no index has it.

    Raises:
        MigrationError: revisions are pending or failed, there is no such table, or it is partitioned otherwise.
    """
    _, differing = differences(connection, project, config, declared.table)
    found = quick_look(connection, declared)
    if found.is_partitioned:
        Parent.of(connection, declared)  # refuses another partition key
        return found
    is_time = (column := found.facts.column(declared.by)) is not None and column.type in TIMES
    measured = found.estimate
    latest: dt.datetime | None = None
    too_late: dt.datetime | None = None
    if found.facts.kind == "r" and found.facts.is_ours and is_time:
        measured = estimate(connection, found.facts, found.target.key)
        latest, too_late = _newest(connection, found, patient=patient)
    lines = refusals(connection, found.facts, declared, project.tables(), too_late)
    lines += [f"{difference}, by what revisions make: see schema check" for difference in differing]
    return replace(found, estimate=measured, newest=latest, refusals=lines)


def quick_look(connection: sa.Connection, declared: Declared) -> Look:
    """Looks at a table without its rows, and without what is in the way.

    Raises:
        MigrationError: there is no such table.
    """
    now, facts = server_now(connection), table_facts(connection, quote(declared.table))
    if facts is None:
        raise MigrationError(f"The database has no table {declared.table}.")
    check = facts.constraint(bound_check(facts.name))
    match = _BOUND.search(check.definition) if check is not None else None
    bound = read_moment(match[1]) if match is not None else None
    index = facts.index(key_index(facts.name))
    key = facts.primary_key
    keeps = key is not None and declared.by in key.columns
    unknown = Estimate(0, 0, 0, 0, 0, is_sampled=False)
    return Look(
        declared,
        now,
        facts,
        bound,
        is_proved=bound is not None and check is not None and check.is_valid,
        has_key=keeps or (index is not None and index.is_valid),
        has_broken_key=index is not None and not index.is_valid,
        estimate=unknown,
        taken=taken_names(connection, facts),
    )


def _newest(connection: sa.Connection, found: Look, *, patient: bool) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Returns the moment of the newest row if a bound can lie after it; else as the second value, what it is."""
    schedule = found.declared.schedule
    moment = newest(connection, found.facts, found.declared.by, patient=patient)
    if moment is None or moment <= schedule.ahead.after(found.now):
        return moment, None
    return None, moment


def differences(connection: sa.Connection, project: Project, config: Config, table: str) -> tuple[Snapshot, list[str]]:
    """Returns what the database should have, and what differs in one table, but for what a conversion has left."""
    script = run.history(project)
    run.require_single_head(script)
    state = run.read_status(connection, project, script, "", project.tables)
    if state.problems:
        raise state.problems[0]
    if state.pending:
        raise PendingRevisions(
            f"{len(state.pending)} revisions are pending, and a table is converted at head only: alembic upgrade head"
        )
    drift = find_drift(connection, config, script, state.at[0], state.entries, project.partitions)
    index = f"index {table}.{key_index(table)}"  # of a conversion whose CHECK was dropped
    differing = [d for d in drift.of_schema if table in (owner_of(d.name), address_of(d.name)) and d.name != index]
    return drift.expected, [str(difference) for difference in differing]
