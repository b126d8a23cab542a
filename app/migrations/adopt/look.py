"""A look at a database that is to be adopted: what differs, what would run, what speaks against it. Writes nothing."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.migrations import own_tables, run, snapshots
from app.migrations.adopt.costs import Cost, costs_of
from app.migrations.adopt.explanation.explain import Sides, explain, tables_of
from app.migrations.adopt.explanation.findings import LATER, Explanation, Group
from app.migrations.adopt.explanation.rows import Rows
from app.migrations.adopt.redeclare import undeclarable
from app.migrations.adopt.rights import missing_rights
from app.migrations.adopt.steps import Steps, StepsOnPostgresql
from app.migrations.drift import Drift, find_drift
from app.migrations.errors import HistoryError
from app.migrations.project import OWN_TABLES, Project
from app.migrations.run import Ledger
from app.migrations.snapshots import Snapshots, kind_of

_ORDER_OF_INDEXES = """
SELECT l.name, (SELECT group_concat(name, ', ') FROM (SELECT name FROM pragma_index_info(l.name) ORDER BY seqno))
FROM pragma_index_list(?) l WHERE l.origin IN ('u', 'pk')
"""
_ELSEWHERE = """
SELECT DISTINCT quote_ident(n.nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = ANY(%s) AND c.relkind IN ('r', 'p') AND n.nspname <> current_schema() AND NOT c.relispartition
AND n.nspname NOT LIKE 'pg\\_%%' AND n.nspname <> 'information_schema' ORDER BY 1
"""


@dataclass(frozen=True)
class Wishes:
    """The operator's word on objects, as `users.nick` or `audit_*`.

    Attributes:
        unmanaged: of another program.
        contract: accepted differences that are to go: the old service is gone.
    """

    unmanaged: Collection[str] = ()
    contract: Collection[str] = ()


@dataclass(frozen=True)
class Look:
    """All that is known before the first step.

    Attributes:
        head: the revision that is aimed at.
        at: the rows of the version table.
        explanation: the differences, in groups.
        steps: what would run.
        drift: the comparison with head's snapshot.
        due: data revisions with rows still to do, each with their number, None if it can't be asked yet.
        costs: what the builds read.
        rights: what the role lacks, a line each.
        tables: those of head that were there before.
        contracted: accepted objects whose later step is asked for.
    """

    head: str
    at: list[str]
    explanation: Explanation
    steps: Steps
    drift: Drift
    due: dict[str, int | None]
    costs: list[Cost] = field(default_factory=list)
    rights: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    contracted: list[str] = field(default_factory=list)

    @property
    def is_adopted(self) -> bool:
        """Returns whether the database is at head, and nothing is to be done."""
        return self.at == [self.head] and not self.steps.all and not self.explanation.findings

    @property
    def code(self) -> str:
        """Returns a stable word for a dry run."""
        if self.explanation.of(Group.PERSON):
            return "person"
        return "rights" if self.rights else "adopted" if self.is_adopted else "adoptable"


def look(connection: sa.Connection, project: Project, config: Config, script: ScriptDirectory, wishes: Wishes) -> Look:
    """Looks at the database of a connection.

    Raises:
        HistoryError: nothing of it could be adopted: it has a history already, or no table of head's.
    """
    head = str(script.get_current_head())
    at = _require_unversioned(connection, script, head)
    dialect = connection.dialect.name
    entries = Ledger(connection).entries()
    drift = find_drift(connection, config, script, head, entries, project.partitions)
    _require_tables(connection, drift)
    _require_names(drift)
    committed = Snapshots(config)
    earlier = [r.revision for r in script.walk_revisions() if r.revision != head]
    accepted = {str(entry.subject): entry.reason or "" for entry in run.accepted_entries(entries)}
    is_contract = _is_contract(wishes, accepted, drift)
    known = {name for name in accepted if not is_contract(name)} - {d.name for d in drift.open}
    explanation = explain(
        Sides(
            dialect,
            drift.expected,
            drift.without_accepted(is_contract),
            [committed.of(dialect, revision) for revision in earlier],
            partial(snapshots.without_spelling, connection, drift.expected),
            is_declared(wishes.unmanaged),
            _partitioned(drift),
            is_contract,
        ),
        Rows(connection, drift.found),
    )
    explanation.findings = [f for f in explanation.findings if f.group is not Group.ACCEPTED or f.name not in known]
    steps = _steps(connection, explanation, drift)
    tables = [table for table in tables_of(drift.expected) if f"table {table}" in drift.found]
    due = _due(connection, script, head)
    costs = costs_of(connection, steps, tables)
    contracted = [name for name in accepted if is_contract(name)]
    rights = missing_rights(connection, steps, tables)
    return Look(head, at, explanation, steps, drift, due, costs, rights, tables, contracted)


def _is_contract(wishes: Wishes, accepted: Mapping[str, str], drift: Drift) -> Callable[[str], bool]:
    """Returns what tells whether the later step of an object is asked for; a sequence goes with its column."""
    matches = is_declared(wishes.contract)

    def is_contract(name: str) -> bool:
        if name in accepted and LATER not in accepted[name]:
            return False
        owner = f"column {drift.present.get(name, {}).get('owner')}"
        return matches(name) or (kind_of(name) == "sequence" and matches(owner))

    return is_contract


def is_declared(words: Collection[str]) -> Callable[[str], bool]:
    """Returns what tells whether an object is declared unmanaged, as `users.nick` or `audit_*`."""

    def matches(name: str) -> bool:
        address = name.partition(" ")[2] or name
        return any(fnmatchcase(address, word) for word in words)

    return matches


def _require_unversioned(connection: sa.Connection, script: ScriptDirectory, head: str) -> list[str]:
    rows = [str(row) for row in own_tables.version_rows(connection)]
    if rows in ([], [head]):
        return rows
    known = {revision.revision for revision in script.walk_revisions()}
    if {*rows} <= known:
        raise HistoryError(
            f"This database has a history, and is at {', '.join(rows)}: bring it to head with: alembic upgrade head"
        )
    raise HistoryError(
        f"The table {own_tables.VERSION_TABLE} holds {', '.join(map(repr, rows))}, which isn't of this history: "
        "another program's Alembic wrote it, or newer code. If that program is gone, rename its "
        f"table, and adopt again: ALTER TABLE {own_tables.VERSION_TABLE} RENAME TO {own_tables.VERSION_TABLE}_before"
    )


def _require_tables(connection: sa.Connection, drift: Drift) -> None:
    ours = tables_of(drift.expected)
    if connection.dialect.name == "postgresql":
        elsewhere = list(connection.exec_driver_sql(_ELSEWHERE, (ours,)).scalars())
        here = connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar()
        if elsewhere and not {*ours} & {*tables_of(drift.found)}:
            raise HistoryError(
                f"The tables are in the schema {', '.join(elsewhere)}, and this role looks first in {here}: ALTER ROLE "
                f"… SET search_path = {elsewhere[0]}, and adopt again."
            )
    if not {*ours} & {*tables_of(drift.found)} - {*OWN_TABLES}:
        raise HistoryError("This database has no table of head's, so there is nothing to adopt: alembic upgrade head")


def _require_names(drift: Drift) -> None:
    """Refuses tables whose objects would be taken for those of another table: `users.old` for a column of `users`."""
    for name in drift.found:
        if kind_of(name) == "table" and "." in name:
            table = snapshots.quote(name.partition(" ")[2])
            raise HistoryError(
                f"The name of the table {table} has a dot, so that it can't be told from an object of another table: "
                f"ALTER TABLE {table} RENAME TO {snapshots.quote(name.partition(' ')[2].replace('.', '_'))}, "
                "and adopt again."
            )


def _steps(connection: sa.Connection, explanation: Explanation, drift: Drift) -> Steps:
    if connection.dialect.name == "sqlite":
        from app.migrations.adopt.steps_sqlite import steps_of_sqlite

        indexed = {table: _indexed(connection, table) for table in tables_of(drift.found)}
        steps = steps_of_sqlite(explanation, indexed)
        for table in undeclarable(connection, steps.transaction):
            reason = "has a key or options (STRICT, a collation, an order) that head's hasn't: copy it by hand."
            explanation.add(f"table {table}", Group.PERSON, reason)
        return steps
    return StepsOnPostgresql(explanation, {*_partitioned(drift)}).steps()


def _partitioned(drift: Drift) -> dict[str, str]:
    """Returns the tables that have partitions, each with the columns of its partition key."""
    facts = {table: (drift.taken or {})[f"table {table}"] for table in tables_of(drift.taken or {})}
    keys = {table: str(own["partitioned_by"]) for table, own in facts.items() if "partitioned_by" in own}
    return {table: key.partition("(")[2].removesuffix(")") for table, key in keys.items()}


def _indexed(connection: sa.Connection, table: str) -> list[str]:
    """Returns the columns of the indexes that a table's constraints have, in the order of the file."""
    rows: list[Any] = [*connection.exec_driver_sql(_ORDER_OF_INDEXES, (table,))]
    rows.sort(key=lambda row: int((re.search(r"(\d+)$", row[0]) or ["0"])[0]))
    return [", ".join(snapshots.quote_of_sqlite(name) for name in row[1].split(", ")) for row in rows]


def _due(connection: sa.Connection, script: ScriptDirectory, head: str) -> dict[str, int | None]:
    """Returns the data revisions that may have rows to do."""
    due: dict[str, int | None] = {}
    for revision in reversed(list(script.iterate_revisions(head, "base"))):
        verify = getattr(revision.module, "verify", None)
        if verify is None:
            continue
        number: int | None = None
        with connection.begin_nested() as savepoint:  # its column may not be there yet
            try:
                number = verify(connection)
            except sa.exc.DBAPIError:
                number = None
            finally:
                savepoint.rollback()
        if number != 0:
            due[revision.revision] = number
    return due
