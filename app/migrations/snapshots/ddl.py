"""The statements that turn one snapshot into another, in the words of the database.

They are made from facts alone, without the models: `schema check --revert` runs them, and a revision that adopts a
drift states those of which Alembic has no notion.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from app.migrations.snapshots.differences import NAME, Difference, moved, reworded
from app.migrations.snapshots.store import Snapshot, kind_of, own_name, owner_of
from app.migrations.sql import effects

OF_TABLE = ("column", "constraint", "index", "trigger")


@dataclass(frozen=True)
class Plan:
    """What turns a database into what it should be.

    Attributes:
        renames: come first; the other statements, and `losses`, use the new names.
        statements: run in the same transaction.
        afterwards: run outside one, because they would hold up others for long.
        losses: what might lose data; whether it does, the database must be asked.
    """

    renames: list[str] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    afterwards: list[str] = field(default_factory=list)
    losses: list[effects.Effect] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        """Every statement, in order."""
        return [*self.renames, *self.statements, *self.afterwards]

    @property
    def within_a_transaction(self) -> list[str]:
        """The same, where nobody is held up."""
        return [statement.replace(" CONCURRENTLY ", " ", 1) for statement in self.all]


@dataclass(frozen=True)
class Goal:
    """A snapshot of what there is, and one in which some differences are undone.

    Attributes:
        renames: what is called otherwise, tables before columns; `start` has the new names already.
        start: what there is.
        end: what should be.
    """

    renames: list[Difference]
    start: Snapshot
    end: Snapshot


def goal(found: Snapshot, expected: Snapshot, undo: Iterable[Difference]) -> Goal:
    """What is left of `found` when some of its differences from `expected` are undone."""
    undo = list(undo)
    order = ["table", "column", *OF_TABLE]
    renames = sorted((d for d in undo if d.attribute == NAME), key=lambda d: order.index(kind_of(d.name)))
    words = {}
    for rename in renames:
        kind = kind_of(rename.name)
        old = f"table {rename.found}" if kind == "table" else f"{kind} {owner_of(rename.name)}.{rename.found}"
        found = moved(found, old, rename.expected)
        words[rename.found] = rename.expected
    start = {
        name: expected[name] if name in expected and reworded(facts, words) == expected[name] else facts
        for name, facts in found.items()
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
        for other in [other for other in end if other == name or belongs(other, end, name)]:
            del end[other]
    else:
        end |= {other: facts for other, facts in expected.items() if other == name or belongs(other, expected, name)}


def belongs(name: str, snapshot: Snapshot, to: str) -> bool:
    """Whether an object comes and goes with another: what a table has, the sequence of a column."""
    if kind_of(to) not in ("table", "column"):
        return False
    if kind_of(name) == "sequence":
        owner = str(snapshot[name].get("owner", ""))
        return to.partition(" ")[2] == (owner if kind_of(to) == "column" else owner.partition(".")[0])
    return kind_of(to) == "table" and kind_of(name) in OF_TABLE and owner_of(name) == owner_of(to)


def losses(aim: Goal) -> list[effects.Effect]:
    """What might lose data on the way."""
    found: list[effects.Effect] = []
    gone = {owner_of(name) for name in aim.start.keys() - aim.end.keys() if kind_of(name) == "table"}
    for name, facts in aim.start.items():
        table, column = owner_of(name), own_name(name)
        if kind_of(name) == "table" and table in gone:
            found.append(effects.DropTable(table))
        if kind_of(name) != "column" or table in gone:
            continue
        if name not in aim.end:
            found.append(effects.DropColumn(table, (column,)))
        elif aim.end[name]["type"] != facts["type"]:
            found.append(effects.AlterType(table, (column,), to=aim.end[name]["type"]))
    return found


def plan(dialect: str, aim: Goal) -> Plan:
    """How to get there.

    Args:
        dialect: `postgresql` or `sqlite`.
        aim: where to.

    Raises:
        MigrationError: there is no statement for one of the differences.
    """
    if dialect == "postgresql":
        from app.migrations.snapshots import ddl_postgresql

        statements, afterwards = ddl_postgresql.statements(aim.start, aim.end)
        return Plan(ddl_postgresql.renames(aim.renames), statements, afterwards, losses(aim))
    from app.migrations.snapshots import ddl_sqlite

    renames, start = ddl_sqlite.renames(aim)
    return Plan(renames, ddl_sqlite.statements(start, aim.end), [], losses(aim))


def changed(start: Snapshot, end: Snapshot, kind: str) -> list[str]:
    """Objects of a kind that are in both, and not the same."""
    return [name for name in start if kind_of(name) == kind and name in end and start[name] != end[name]]


def gone(start: Snapshot, end: Snapshot, kind: str) -> list[str]:
    """Objects of a kind that are only in `start`; seen from the other side, those that are new."""
    return [name for name in start if kind_of(name) == kind and name not in end]
