"""A feature of models: its tables as they are, and each of its options changed alone."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

Build = Callable[[sa.MetaData], object]
"""Adds tables to a metadata."""
Items = Callable[[], Iterable[sa.schema.SchemaItem]]
"""Makes columns, constraints and indexes of one table."""
MakeColumn = Callable[[str], "sa.Column[Any]"]
"""Makes a column of this name."""

SQLITE = ("sqlite",)
POSTGRESQL = ("postgresql",)
BOTH = (*SQLITE, *POSTGRESQL)
NOWHERE = ()
AS_IT_IS = ""  # a feature without a change


@dataclass(frozen=True)
class Feature:
    """One feature.

    Attributes:
        name: the table's too; answers that concern the feature contain `subject`.
        before: the models as they are.
        changes: the models after a change, by its name.
        dialects: databases that have the feature.
        seen: databases that can tell a change from no change, where those aren't `dialects`.
        needs: extensions and schemas, as `EXTENSION citext`, which a revision before the first makes.
        since: the first major version of PostgreSQL that has the feature.
        columns: the same as columns that fit into any table; none if the feature isn't about one column.
        subject: a part of every name, if that isn't the feature's.
        traces: changes that leave names behind which a new database doesn't have.
    """

    name: str
    before: Build
    changes: Mapping[str, Build] = field(default_factory=dict)
    dialects: tuple[str, ...] = BOTH
    seen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    since: int = 14
    columns: Mapping[str, MakeColumn] = field(default_factory=dict)
    subject: str = ""
    traces: tuple[str, ...] = ()

    def build(self, metadata: sa.MetaData, change: str = AS_IT_IS) -> None:
        """Adds the tables, with this change or as they are."""
        (self.changes[change] if change else self.before)(metadata)

    def tells(self, change: str) -> tuple[str, ...]:
        """Returns the dialects whose databases can tell a change."""
        return self.seen.get(change, self.dialects)


def column(name: str, before: MakeColumn, changes: Mapping[str, MakeColumn] | None = None, **options: Any) -> Feature:
    """Returns a feature of one column, `value` in a table of its own."""
    changes = changes or {}

    def build(make: MakeColumn) -> Build:
        return lambda metadata: add_table(metadata, name, make("value"))

    columns = {AS_IT_IS: before, **changes}
    return Feature(name, build(before), {key: build(make) for key, make in changes.items()}, columns=columns, **options)


def typed(name: str, before: Any, changes: Mapping[str, Any] | None = None, **options: Any) -> Feature:
    """Returns a feature of one column of a type, changed to other types."""

    def build(kind: Any) -> MakeColumn:
        return lambda name: sa.Column(name, kind)

    return column(name, build(before), {key: build(kind) for key, kind in (changes or {}).items()}, **options)


def table(name: str, before: Items, changes: Mapping[str, Items] | None = None, **options: Any) -> Feature:
    """Returns a feature of a table with a key `id`, and whatever the functions make."""

    def build(make: Items) -> Build:
        return lambda metadata: add_table(metadata, name, *make())

    return Feature(name, build(before), {key: build(make) for key, make in (changes or {}).items()}, **options)


def add_table(metadata: sa.MetaData, name: str, *items: sa.schema.SchemaItem, **options: Any) -> sa.Table:
    """Adds a table with a key `id` and these parts."""
    return sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True), *items, **options)
