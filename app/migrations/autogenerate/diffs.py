"""Alembic's differences and operations as `Change` objects: one for each thing that an upgrade would do."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, ops

from app.migrations.snapshots import PARTS, Difference, address_of, kind_of, own_name, owner_of


@dataclass(frozen=True)
class Change:
    """One thing that an upgrade would do.

    Attributes:
        verb: add, drop, change, rename or validate.
        kind: column, table, table comment, index, constraint, foreign key, trigger or trigger function.
        table: the table that it concerns; empty for a function.
        name: the object's own name; None for an unnamed constraint.
        fact: the fact of a column that changes: type, nullable, default or comment.
        old, new: that fact before and after; `new` is also the new name of a renamed object.
        built_on: the columns of an index or a constraint, and those that a foreign key refers to, as `users.nick`.
    """

    verb: str
    kind: str
    table: str
    name: str | None
    fact: str = ""
    old: Any = None
    new: Any = None
    built_on: frozenset[str] = frozenset()

    @property
    def address(self) -> str:
        """Returns the object's name with its table: `users.nick`."""
        if self.kind in ("table", "table comment"):
            return self.table
        if self.table:
            return f"{self.table}.{self.name}"
        return f"{self.name}()" if self.kind == "trigger function" else str(self.name)

    @property
    def addresses(self) -> set[str]:
        """Returns the old address and the new one, if the object is renamed."""
        if self.verb != "rename":
            return {self.address}
        return {self.address, self.new if self.kind == "table" else f"{self.table}.{self.new}"}

    def __str__(self) -> str:
        if self.verb == "change":
            return f"change {self.fact} of {self.address} from {_shown(self.old)} to {_shown(self.new)}"
        if self.verb == "rename":
            return f"rename {self.kind} {self.address} to {self.new}"
        if self.kind in ("column", "table", "table comment"):
            return f"{self.verb} {self.kind} {self.address}"
        return f"{self.verb} {self.kind} {self.name or '(unnamed)'}" + (f" of {self.table}" if self.table else "")


def changes_of(diff: Any) -> list[Change]:
    """Reads one of Alembic's differences, or the `to_diff_tuple()` of an operation."""
    match diff:
        case list():
            return [change for part in diff for change in changes_of(part)]
        case (str(what), _, str(table), str(column), dict(), old, new):
            return [Change("change", "column", table, column, what.removeprefix("modify_"), old, new)]
        case ("facts" | "unwritten", differences):
            return [_of_facts(difference) for difference in differences]
        case ("rename_table", old, new):
            return [Change("rename", "table", old, old, new=new)]
        case ("rename_column", str(address), new):
            table, _, column = address.partition(".")
            return [Change("rename", "column", table, column, new=new)]
        case ("add_column" | "remove_column" as what, _, table, column):
            return [Change(_verb(what), "column", table, column.name)]
        case (str(what), item, *owner):
            kind = what.partition("_")[2].replace("fk", "foreign_key").replace("_", " ")
            table = item.name if isinstance(item, sa.Table) else getattr(item, "table", "".join(map(str, owner)))
            name = item if isinstance(item, str) else item.name
            return [Change(_verb(what), kind, getattr(table, "name", table), name, built_on=_built_on(item))]
    raise TypeError(f"no difference of Alembic's: {diff!r}")


def flat(operations: Iterable[MigrateOperation]) -> Iterator[MigrateOperation]:
    """Returns the operations, and those inside of containers instead of the containers."""
    for operation in operations:
        if isinstance(operation, ops.OpContainer):
            yield from flat(operation.ops)
        else:
            yield operation


def describe(diff: Any) -> str:
    """Describes one of Alembic's differences in a few words: what an upgrade would do."""
    return ", ".join(map(str, changes_of(diff)))


def _of_facts(difference: Difference) -> Change:
    kind, parts = kind_of(difference.name), (owner_of(difference.name), own_name(difference.name))
    table, name = parts if kind in ("table", *PARTS) else ("", address_of(difference.name))
    if difference.attribute:
        return Change("change", kind, table, name, difference.attribute, difference.found, difference.expected)
    return Change("drop" if difference.expected is None else "add", kind, table, name)


def _verb(what: str) -> str:
    return what.partition("_")[0].replace("remove", "drop")


def _built_on(item: Any) -> frozenset[str]:
    if isinstance(item, sa.Table):
        return frozenset()
    own = {f"{item.table.name}.{column.name}" for column in getattr(item, "columns", ())}
    return frozenset(own | {key.target_fullname for key in getattr(item, "elements", ())})


def _shown(value: Any) -> str:
    text = getattr(getattr(value, "arg", value), "text", getattr(value, "arg", value))
    return "none" if text is None else str(text)
