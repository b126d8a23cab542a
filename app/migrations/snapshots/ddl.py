"""Statements that turn one snapshot into another, made from facts alone, without the models."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from app.migrations.snapshots.differences import NAME, Difference, in_former_names, rename
from app.migrations.snapshots.store import PARTS, Snapshot, address_of, kind_of, of_kind, own_name, owner_of
from app.migrations.sql import effects


@dataclass(frozen=True)
class Plan:
    """Statements that turn one snapshot into another.

    Attributes:
        renames: come first; the other statements, and `losses`, use the new names.
        statements: run in the same transaction.
        afterwards: run outside a transaction: index builds that block no writer.
        losses: effects that may lose data; the database must be asked whether they do.
    """

    renames: list[str] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    afterwards: list[str] = field(default_factory=list)
    losses: list[effects.Effect] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        """Returns every statement, in order."""
        return [*self.renames, *self.statements, *self.afterwards]

    @property
    def within_a_transaction(self) -> list[str]:
        """Returns every statement in a form that a transaction takes; index builds block writers then."""
        return [statement.replace(" CONCURRENTLY ", " ", 1) for statement in self.all]


@dataclass(frozen=True)
class Goal:
    """A snapshot of what is there, and one in which some differences are undone.

    Attributes:
        renames: objects to rename, tables before columns; `start` has the new names already.
        start: the schema that is there.
        end: the schema that should be there.
    """

    renames: list[Difference]
    start: Snapshot
    end: Snapshot

    def gone(self, kind: str) -> list[str]:
        """Returns the objects of a kind that are only in `start`."""
        return [name for name in of_kind(self.start, kind) if name not in self.end]

    def new(self, kind: str) -> list[str]:
        """Returns the objects that are only in `end`."""
        return [name for name in of_kind(self.end, kind) if name not in self.start]

    def changed(self, kind: str) -> list[str]:
        """Returns the objects that are in both, with different facts."""
        return [n for n in of_kind(self.start, kind) if n in self.end and self.start[n] != self.end[n]]

    def dropped(self, kind: str) -> list[str]:
        """Returns the objects that are gone, or are replaced because their definition changes."""
        return [*self.gone(kind), *self._redefined(kind)]

    def created(self, kind: str) -> list[str]:
        """Returns the objects that are new, or replace one with another definition."""
        return [*self.new(kind), *self._redefined(kind)]

    def _redefined(self, kind: str) -> list[str]:
        facts = ("definition", "kind") if kind != "table" else ()  # a table is altered
        return [n for n in self.changed(kind) if any(self.start[n].get(f) != self.end[n].get(f) for f in facts)]

    def keeps_table(self, name: str) -> bool:
        """Returns whether the table of an object stays."""
        return f"table {owner_of(name)}" in self.end


def goal(present: Snapshot, expected: Snapshot, undo: Iterable[Difference]) -> Goal:
    """Undoes some differences of `present` from `expected`."""
    undo = list(undo)
    order = ("table", *PARTS)
    renames = sorted((d for d in undo if d.attribute == NAME), key=lambda d: order.index(kind_of(d.name)))
    former = {}
    for difference in renames:
        present = rename(present, difference.found_name, difference.expected)
        former[difference.found] = difference.expected
    # Facts that differ only by a former name need no statement: the rename changes them.
    start = {
        name: expected[name] if name in expected and in_former_names(facts, former) == expected[name] else facts
        for name, facts in present.items()
    }
    end = dict(start)
    for difference in undo:
        if difference.attribute != NAME:
            _undo(difference, end, expected)
    return Goal(renames, start, end)


def _undo(difference: Difference, end: Snapshot, expected: Snapshot) -> None:
    name = difference.name
    if difference.attribute:
        facts = {**end[name], difference.attribute: difference.expected}
        end[name] = {fact: value for fact, value in facts.items() if value is not None}
    elif difference.expected is None:
        for other in [other for other in end if other == name or _belongs(other, end, name)]:
            del end[other]
    else:
        end |= {other: facts for other, facts in expected.items() if other == name or _belongs(other, expected, name)}


def _belongs(name: str, snapshot: Snapshot, owner: str) -> bool:
    """Returns whether an object comes and goes with another: the parts of a table, the sequence of a column."""
    if kind_of(name) == "sequence":
        column = str(snapshot[name].get("owner", ""))
        return owner in (f"column {column}", f"table {column.partition('.')[0]}")
    return kind_of(owner) == "table" and kind_of(name) in PARTS and owner_of(name) == owner_of(owner)


def plan(dialect: str, aim: Goal) -> Plan:
    """Returns the statements that reach a goal on `postgresql` or `sqlite`.

    Raises:
        MigrationError: there is no statement for one of the differences.
    """
    # Imported here, for both modules import this one.
    if dialect == "postgresql":
        from app.migrations.snapshots import ddl_postgresql

        renames = [ddl_postgresql.rename(difference) for difference in aim.renames]
        return Plan(renames, *ddl_postgresql.statements(aim), list(_losses(aim)))
    from app.migrations.snapshots import ddl_sqlite

    renames, start = ddl_sqlite.renames(aim)
    return Plan(renames, ddl_sqlite.statements(replace(aim, start=start)), [], list(_losses(aim)))


def _losses(aim: Goal) -> Iterator[effects.Effect]:
    for name in aim.gone("table"):
        yield effects.DropTable(address_of(name))
    for name in filter(aim.keeps_table, aim.gone("column")):
        yield effects.DropColumn(owner_of(name), (own_name(name),))
    for name in aim.changed("column"):
        if aim.start[name]["type"] != aim.end[name]["type"]:
            yield effects.AlterType(owner_of(name), (own_name(name),), to=aim.end[name]["type"])
