"""A look at a table that is to be plain again: its former self, its other partitions, and what is in the way."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import sqlalchemy as sa
from alembic.config import Config

from app.migrations.ahead import State
from app.migrations.errors import MigrationError
from app.migrations.partitions.catalog import Partition, attached, standing_alone
from app.migrations.partitions.conversion.facts import TableFacts, table_facts
from app.migrations.partitions.conversion.look import Look, differences, quick_look
from app.migrations.partitions.conversion.refusals import dependents, publication_rights
from app.migrations.partitions.transactions import has_rows
from app.migrations.project import Project
from app.migrations.snapshots import Snapshot, kind_of, own_name, owner_of, quote
from app.partitions import Declared
from app.sql_text import fitting, unquoted

_REFERENCE = re.compile(r'FOREIGN KEY \(.*?\) REFERENCES ("(?:[^"]|"")+"|[^(]+)\(')
_STATE = """
SELECT c.relkind = 'p' AS is_partitioned, o.oid IS NOT NULL AS is_there, coalesce(o.convalidated, false) AS is_valid
FROM pg_class c LEFT JOIN pg_constraint o ON o.conrelid = c.oid AND o.conname = CAST(:name AS name)
WHERE c.oid = to_regclass(:table)
"""


@dataclass(frozen=True)
class Reference:
    """A foreign key that pointed at the plain table.

    Attributes:
        table: the table that has it, as a statement spells it; `is_partitioned` if it has partitions itself.
        is_there: it is there already.
        is_valid: and is validated.
    """

    table: str
    name: str
    definition: str
    comment: str | None
    is_there: bool
    is_valid: bool
    is_partitioned: bool


@dataclass(frozen=True)
class UndoLook:
    """A table as it is, on the way back.

    Attributes:
        found: the table.
        former: the partition that was the plain table; None if the table is plain.
        former_facts: its facts.
        others: all other partitions.
        left: tables that were to be partitions.
        references: the foreign keys that pointed at it.
        expected: what the database should have, by the snapshot of its revision.
        refusals: what is in the way, a line each.
    """

    found: Look
    former: Partition | None = None
    former_facts: TableFacts | None = None
    others: list[Partition] = field(default_factory=list)
    left: list[Partition] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    expected: Snapshot = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)

    @property
    def plain_key(self) -> str:
        """Returns the name of the index that becomes the primary key again."""
        return fitting(f"{self.found.facts.name}_plain_key")

    @property
    def keeps_key(self) -> bool:
        """Returns whether the primary key of the plain table has the partition column as well."""
        return self.found.declared.by in self.found.declared.key

    @property
    def is_done(self) -> bool:
        """Returns whether nothing is left to do."""
        valid = all(one.is_there and one.is_valid for one in self.references)
        return not self.found.is_partitioned and not self.found.has_begun and valid

    @property
    def empty(self) -> list[Partition]:
        """Returns the tables that go, and must be empty."""
        return [*self.others, *self.left]


def look_back(connection: sa.Connection, project: Project, config: Config, declared: Declared) -> UndoLook:
    """Looks at a table on the way back. Writes nothing.

    Raises:
        MigrationError: revisions are pending or failed, or there is no such table.
    """
    expected, differing = differences(connection, project, config, declared.table)
    found = quick_look_back(connection, declared, expected)
    if not found.found.is_partitioned:
        return found
    lines = [*refusals_of(connection, found), *_filled(connection, found)]
    lines += [f"{difference}, by what revisions make: see schema check" for difference in differing]
    return replace(found, refusals=lines)


def quick_look_back(connection: sa.Connection, declared: Declared, expected: Snapshot) -> UndoLook:
    """Looks at a table without its rows, and without what is in the way."""
    found = quick_look(connection, declared)
    references = [*_references(connection, declared.table, expected)]
    if not found.is_partitioned:
        return UndoLook(found, references=references, expected=expected)
    partitions = attached(connection, declared.table)
    former = next((one for one in partitions if _is_former(one)), None)
    facts = table_facts(connection, former.address) if former is not None else None
    others = [one for one in partitions if former is None or one.name != former.name]
    alone = standing_alone(connection, declared.table)
    left = [one for one in alone if one.mark is not None and one.mark.state is State.MAKING]
    return UndoLook(found, former, facts, others, left, references, expected)


def refusals_of(connection: sa.Connection, found: UndoLook) -> list[str]:
    """Returns what is in the way beside rows, a line each."""
    facts = found.found.facts
    lines = [*_partitions(found), *publication_rights(facts)]
    if facts.kind == "p" and not (facts.is_ours and (found.former_facts is None or found.former_facts.is_ours)):
        lines.append(f"{facts.name} is owned by {facts.owner}, and only its owner may convert it.")
    lines += [
        f"the foreign key {one.name} of {one.table} refers to the partitioned table: ALTER TABLE {one.address} DROP "
        f"CONSTRAINT {quote(one.name)}"
        for one in facts.incoming
    ]
    lines += [
        f"{described} depends on the partitioned {facts.name}: drop it, and create it again afterwards."
        for described in dependents(connection, facts)
    ]
    for standing in standing_alone(connection, facts.name):
        if standing.mark is not None and standing.mark.state is State.RETIRING:
            lines.append(f"{standing.name} is on its way out: let schema partitions maintain end that first.")
    return lines


def closed(partition: Partition) -> str:
    """Returns the line on a partition that has rows."""
    return f"{partition.name} has rows, and a plain table could take them only by copying: the way back is closed."


def require_former(found: UndoLook) -> tuple[Partition, TableFacts]:
    """Returns the partition that was the plain table, and its facts.

    Raises:
        MigrationError: there is none any more.
    """
    if found.former is None or found.former_facts is None:
        raise MigrationError(f"{found.found.declared.table} was not made plain: its former table is gone.")
    return found.former, found.former_facts


def _is_former(partition: Partition) -> bool:
    mark = partition.mark
    return partition.kind == "r" and partition.is_range and partition.low is None and mark is not None


def _partitions(found: UndoLook) -> Iterator[str]:
    table = found.found.facts.name
    if found.former is None:
        yield (
            f"{table} has no partition that was the plain table and is marked as such: it was partitioned by another "
            "program, or retention has dropped that."
        )
    elif found.former.mark is not None and found.former.mark.state is not State.KEPT:
        yield f"{found.former.name} is on its way out: raise keep, and run schema partitions maintain before."
    for partition in found.others:
        if partition.is_pending:
            yield f"{partition.name} is half detached: run schema partitions maintain before."
        elif partition.mark is None:
            yield f"{partition.name} was not made here: detach it, or drop it."


def _filled(connection: sa.Connection, found: UndoLook) -> Iterator[str]:
    may_read = found.found.facts.is_ours
    for partition in found.empty:
        if may_read and partition.mark is not None and has_rows(connection, partition.address):
            yield closed(partition)


def _references(connection: sa.Connection, table: str, expected: Snapshot) -> Iterator[Reference]:
    """Yields the foreign keys that a plain table has pointing at it, by the snapshot."""
    for name, facts in expected.items():
        match = _REFERENCE.match(str(facts.get("definition", ""))) if kind_of(name) == "constraint" else None
        if match is None or unquoted(match[1]) != table:
            continue
        values = {"table": quote(owner_of(name)), "name": own_name(name)}
        state = connection.execute(sa.text(_STATE), values).first()
        if state is None:
            continue
        comment = facts.get("comment")
        yield Reference(
            quote(owner_of(name)),
            own_name(name),
            str(facts["definition"]),
            str(comment) if comment is not None else None,
            is_there=state.is_there,
            is_valid=state.is_valid,
            is_partitioned=state.is_partitioned and owner_of(name) != table,
        )
