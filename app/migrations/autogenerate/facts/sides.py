"""The two sides of a new revision: the database that is compared, and the other kind's committed snapshot."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext

from app import db
from app.migrations import snapshots
from app.migrations.autogenerate.expressions import DIALECTS
from app.migrations.autogenerate.unmanaged import Unmanaged
from app.migrations.errors import HistoryError
from app.migrations.snapshots import (
    Comparison,
    Difference,
    Facts,
    NoScratchModels,
    Snapshots,
    address_of,
    kind_of,
    own_name,
    owner_of,
)
from app.sql_text import MOST_BYTES

Rename = tuple[str, str]


@dataclass(frozen=True)
class Side:
    """One kind of database, before the revision and as the models want it."""

    dialect: str
    comparison: Comparison

    @property
    def differences(self) -> list[Difference]:
        """Returns what the revision has to end."""
        return self.comparison.differences

    def without(self, tables: set[str]) -> "Side":
        """Returns the same without the differences of some tables."""
        kept = [difference for difference in self.differences if owner_of(difference.name) not in tables]
        return replace(self, comparison=replace(self.comparison, differences=kept))

    def concerns(self, subject: str) -> bool:
        """Returns whether an object differs, or `object: fact`, or the table or column that it is a part of."""
        name, _, fact = subject.partition(": ")
        whole = {d.name for d in self.differences if not d.attribute}
        if f"table {owner_of(name)}" in whole:
            return True
        return any(d.name == name and (not fact or d.attribute == fact) for d in self.differences)

    def facts_of(self, name: str, *, wanted: bool = False) -> Facts:
        """Returns the facts of an object as they are, or as the models want them; none of one that isn't there."""
        return (self.comparison.models if wanted else self.comparison.found).get(name, {})

    def written(self, name: str, *, wanted: bool = False) -> Facts:
        """Returns the same facts in the database's own spelling."""
        return (self.comparison.made if wanted else self.comparison.present).get(name, {})

    def is_beyond_alembic(self, name: str) -> bool:
        """Returns whether an operation of Alembic's would lose a part of a constraint, or isn't possible."""
        if self.is_widened_key(name):
            return True
        texts = [str(self.facts_of(name, wanted=side).get("definition", "")) for side in (False, True)]
        return any(
            " ON CONFLICT " in text
            or (text.startswith("UNIQUE") and " INCLUDE " in text)
            or (text.startswith("PRIMARY KEY") and ("DEFERRABLE" in text or " INCLUDE " in text))
            for text in texts
        )

    def is_widened_key(self, name: str) -> bool:
        """Returns whether a key differs because its table is partitioned, which the models don't declare."""
        return snapshots.is_widened_key(name, self.comparison.models, self.comparison.found)

    def unnamed_constraints(self, table: str) -> set[str]:
        """Returns the constraints of a table that differ, for an operation that names none of them."""
        names = {d.name for d in self.differences if kind_of(d.name) == "constraint" and owner_of(d.name) == table}
        return names or {f"constraint {table}.?"}


@dataclass(frozen=True)
class Subject:
    """One comparison.

    Attributes:
        context: Alembic's.
        metadata: the models.
        own: the database that is compared.
        other: the other kind; None if nothing is known of it.
        renames: what is renamed, with the new names.
    """

    context: AutogenContext
    metadata: sa.MetaData
    own: Side
    other: Side | None
    renames: list[Rename] = field(default_factory=list)

    @cached_property
    def tables(self) -> dict[str, sa.Table]:
        """Returns the tables of the models by name."""
        return {table.name: table for table in self.metadata.tables.values()}

    @cached_property
    def schemas(self) -> dict[str, str]:
        """Returns the schema of each object that the models have in another than the database's own, by name."""
        return snapshots.schemas_of(self.metadata)

    def side(self, dialect: str) -> Side | None:
        """Returns the side of a kind of database."""
        return next((side for side in (self.own, self.other) if side is not None and side.dialect == dialect), None)

    def column(self, name: str) -> sa.Column[Any] | None:
        """Returns the column of the models that a fact names."""
        table, _, own = address_of(name).partition(".")
        return next((c for c in self.tables[table].columns if c.name == own), None) if table in self.tables else None

    def reflected(self, table: str) -> sa.Table:
        """Returns a table of the database, which may still have its former name."""
        former = next(
            (address_of(old) for old, new in self.renames if old.startswith("table ") and new == table), table
        )
        return sa.Table(former, sa.MetaData(), autoload_with=self.context.connection, resolve_fks=False)


def as_postgresql_keeps(name: str) -> str:
    """Returns the name of an object as on PostgreSQL, for which SQLAlchemy cuts a long one that a convention makes."""
    own = own_name(name)
    if kind_of(name) not in ("constraint", "index") or len(own) <= MOST_BYTES or own.startswith("("):
        return name
    preparer: Any = DIALECTS["postgresql"].identifier_preparer
    cut = preparer.truncate_and_render_constraint_name(sa.schema.conv(own), _alembic_quote=False)
    return f"{kind_of(name)} {owner_of(name)}.{cut}"


def other_side(context: AutogenContext, metadata: sa.MetaData, dialect: str, renames: Iterable[Rename]) -> Side | None:
    """Compares the models with the committed snapshot of SQLite at head, if PostgreSQL is compared.

    The reverse needs a server: see `stand_in`, and `postgresql_only` where there is none.
    """
    migration = context.migration_context
    config, script = migration.config, migration.script
    if dialect == "sqlite" or config is None or script is None:
        return None
    unmanaged = Unmanaged(config)
    try:
        before = Snapshots(config).of("sqlite", script.get_current_head())
        with db.migration_engine("sqlite://").connect() as connection:
            comparison = snapshots.compare_with_models(
                connection,
                metadata,
                before,
                is_unmanaged=unmanaged.is_unmanaged_table,
                keep=unmanaged.without,
                renames=renames,
            )
    except (HistoryError, NoScratchModels):
        return None
    return Side("sqlite", comparison)
