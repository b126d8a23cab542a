"""The one transaction that puts a partitioned table in the place of a plain one, which becomes its first partition."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace

import sqlalchemy as sa

from app.migrations.ahead import Mark, State, bound_check, key_index
from app.migrations.partitions import carrying
from app.migrations.partitions.facts import Constraint, Index, TableFacts
from app.migrations.partitions.leaves import marking, moment_literal
from app.migrations.snapshots import quote
from app.sql_text import free_name

_TAKEN = """
SELECT relname::text FROM pg_class WHERE relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = :oid)
UNION SELECT typname::text FROM pg_type WHERE typnamespace = (SELECT relnamespace FROM pg_class WHERE oid = :oid)
UNION SELECT stxname::text FROM pg_statistic_ext
"""
LIKE = "DEFAULTS", "COMMENTS", "STORAGE", "GENERATED", "COMPRESSION", "CONSTRAINTS"
_ACCESS = {True: "ACCESS EXCLUSIVE", False: "SHARE ROW EXCLUSIVE"}


@dataclass(frozen=True)
class Target:
    """The table that is to be partitioned.

    Attributes:
        facts: of the plain table.
        by: the partition column.
        bound: the end of its first partition, UTC.
        taken: names that other objects of the schema have.
    """

    facts: TableFacts
    by: str
    bound: dt.datetime
    taken: frozenset[str] = frozenset()

    @property
    def bound_check(self) -> str:
        """Returns the name of the CHECK that proves the bound."""
        return bound_check(self.facts.name)

    @property
    def key_index(self) -> str:
        """Returns the name of the unique index that becomes the primary key."""
        return key_index(self.facts.name)

    @property
    def key(self) -> list[str]:
        """Returns the columns of the primary key that is to be."""
        columns = self.facts.primary_key.columns if self.facts.primary_key is not None else []
        return columns if self.by in columns else [*columns, self.by]

    @property
    def keeps_key(self) -> bool:
        """Returns whether the primary key has the column already."""
        return self.facts.primary_key is not None and self.by in self.facts.primary_key.columns

    @property
    def partition(self) -> str:
        """Returns the name that the plain table gets."""
        return free_name(f"{self.facts.name}_until_{self.bound:%Y%m%d}", self.taken.__contains__)

    @property
    def leaf(self) -> str:
        """Returns that name with its schema, as a statement spells it."""
        return f"{self.facts.schema}.{quote(self.partition)}"

    def of_partition(self, name: str) -> str:
        """Returns the name that an index, or statistics, of the plain table gets."""
        return free_name(f"{self.partition}_{name}", self.taken.__contains__)

    @property
    def is_zoned(self) -> bool:
        """Returns whether the partition column is a `timestamptz`."""
        column = self.facts.column(self.by)
        return column is not None and column.type == "timestamp with time zone"

    def literal(self) -> str:
        """Returns the bound as a statement spells it, whatever the session's zone."""
        return moment_literal(self.bound, is_zoned=self.is_zoned)

    def typed_literal(self) -> str:
        """Returns the bound with its type, for a comparison."""
        return f"timestamp{'tz' * self.is_zoned} {self.literal()}"


def taken_names(connection: sa.Connection, facts: TableFacts) -> frozenset[str]:
    """Returns the names that objects of the table's schema have."""
    return frozenset(connection.execute(sa.text(_TAKEN), {"oid": facts.oid}).scalars())


def locks(facts: TableFacts) -> dict[str, str]:
    """Returns the locks of the swap: each table with its mode, the converted table last."""
    others = {one.refers_to: _ACCESS[False] for one in facts.constraints if one.refers_to and not one.is_of_itself}
    others |= {one.address: _ACCESS[True] for one in facts.incoming if one.address != facts.address}
    return {**dict(sorted(others.items())), facts.address: _ACCESS[True]}


def swap_statements(target: Target) -> list[str]:
    """Returns the statements of the swap, in order."""
    return [*_rename(target), *_create(target), *_fill(target), *_attach(target)]


def _rename(target: Target) -> Iterator[str]:
    facts, leaf = target.facts, target.leaf
    for foreign_key in facts.incoming:
        yield f"ALTER TABLE {foreign_key.address} DROP CONSTRAINT {quote(foreign_key.name)}"
    for trigger in facts.triggers:
        yield f"DROP TRIGGER {quote(trigger.name)} ON {facts.address}"
    yield f"ALTER TABLE {facts.address} RENAME TO {quote(target.partition)}"
    key = facts.primary_key
    if key is not None and not target.keeps_key:
        name, old = target.of_partition(key.name), facts.index_of(key.name)
        yield f"ALTER TABLE {leaf} DROP CONSTRAINT {quote(key.name)}"
        yield (
            f"ALTER TABLE {leaf} ADD CONSTRAINT {quote(name)} "
            f"PRIMARY KEY USING INDEX {quote(target.key_index)}{deferral(key)}"
        )
        yield from restored_marks(facts, old, leaf, name)
    for index in _carried(target):
        name = target.of_partition(index.name)
        yield f"ALTER INDEX {facts.schema}.{quote(index.name)} RENAME TO {quote(name)}"
    for statistics in facts.statistics:
        yield f"ALTER STATISTICS {statistics.address} RENAME TO {quote(target.of_partition(statistics.name))}"


def restored_marks(facts: TableFacts, old: Index, address: str, name: str) -> Iterator[str]:
    """Yields what lets a new index of a primary key stand for the old one in CLUSTER and in replication."""
    if old.is_clustered:
        yield f"ALTER TABLE {address} CLUSTER ON {quote(name)}"
    if facts.replica_identity == "i" and facts.replica_index == old.name:
        yield f"ALTER TABLE {address} REPLICA IDENTITY USING INDEX {quote(name)}"


def deferral(constraint: Constraint) -> str:
    """Returns when a key is checked, as it is written after its definition."""
    return constraint.definition.rpartition(")")[2]


def key_definition(facts: TableFacts, constraint: Constraint, columns: list[str]) -> str:
    """Returns the definition of a primary key or a unique constraint with these columns, and its index' options."""
    index = facts.index_of(constraint.name)
    words = constraint.definition.partition(" (")[0]
    return f"{words} {listed_like(index, columns)}{deferral(constraint)}"


def listed_like(index: Index, columns: list[str]) -> str:
    """Returns the columns of a new index as a statement lists them, with the options of another index."""
    included = f" INCLUDE ({', '.join(map(quote, index.included))})" if index.included else ""
    options = f" WITH ({', '.join(index.options)})" if index.options else ""
    return f"({', '.join(map(quote, columns))}){included}{options}"


def _carried(target: Target) -> Iterator[Index]:
    """Yields the indexes that the partition keeps under another name."""
    key = target.facts.primary_key
    for index in target.facts.indexes:
        is_replaced = key is not None and index.constraint == key.name and not target.keeps_key
        if index.name != target.key_index and not is_replaced:
            yield index


def _create(target: Target) -> Iterator[str]:
    facts, leaf = target.facts, target.leaf
    including = " ".join(f"INCLUDING {part}" for part in LIKE)
    tablespace = f" TABLESPACE {facts.tablespace}" if facts.tablespace else ""
    yield f"CREATE TABLE {facts.address} (LIKE {leaf} {including}) PARTITION BY RANGE ({quote(target.by)}){tablespace}"
    yield f"ALTER TABLE {facts.address} DROP CONSTRAINT {quote(target.bound_check)}"
    if not facts.is_owner:
        yield f"ALTER TABLE {facts.address} OWNER TO {facts.owner}"


def _fill(target: Target) -> Iterator[str]:
    facts = target.facts
    for constraint in sorted(facts.constraints, key=lambda one: (one.kind == "f", one.kind != "p", one.name)):
        if constraint.kind in ("p", "u"):
            columns = target.key if constraint.kind == "p" else constraint.columns
            definition = key_definition(facts, constraint, columns)
        elif constraint.kind == "f" and not constraint.is_of_itself:
            definition = constraint.definition
        else:
            continue
        yield f"ALTER TABLE {facts.address} ADD CONSTRAINT {quote(constraint.name)} {definition}"
    for index in _carried(target):
        if index.constraint is None:
            yield index.definition
    for index in facts.indexes:
        if index.tablespace is not None and index.name != target.key_index:
            yield f"ALTER INDEX {facts.schema}.{quote(index.name)} SET TABLESPACE {index.tablespace}"
    wanted = _wanted(target)
    yield from carrying.carry(wanted, carrying.as_made_like(wanted), facts.address)
    yield from carrying.triggers(facts.triggers, facts.address)
    for statistics in facts.statistics:
        yield from carrying.statistics(statistics)
    for sequence in facts.sequences:
        yield f"ALTER SEQUENCE {sequence.address} OWNED BY {facts.address}.{quote(sequence.column)}"
    for publication in facts.publications:
        if publication.is_named:
            yield f"ALTER PUBLICATION {quote(publication.name)} DROP TABLE {target.leaf}"
            yield carrying.published(publication, facts.address)


def _wanted(target: Target) -> TableFacts:
    """Returns the facts that the new table is to have: without what the conversion has added, and what can't be."""
    facts = target.facts
    return replace(
        facts,
        constraints=[one for one in facts.constraints if one.name != target.bound_check and not one.is_of_itself],
        indexes=[one for one in facts.indexes if one.name != target.key_index],
    )


def _attach(target: Target) -> Iterator[str]:
    facts, leaf = target.facts, target.leaf
    yield f"ALTER TABLE {facts.address} ATTACH PARTITION {leaf} FOR VALUES FROM (MINVALUE) TO ({target.literal()})"
    yield f"ALTER TABLE {leaf} DROP CONSTRAINT {quote(target.bound_check)}"
    yield marking(leaf, Mark(facts.name, None, target.bound, State.KEPT))
