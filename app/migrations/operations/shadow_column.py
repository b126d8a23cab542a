"""The column of another type that takes the place of one: its names, and how far a change on PostgreSQL has come."""

import re
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations, ops
from sqlalchemy.dialects import postgresql

from app.migrations.errors import MigrationError
from app.migrations.operations.catalog_table import is_script, mark
from app.migrations.operations.column_parts import HAS_PARTS, Catalog, Part
from app.migrations.operations.statements import execute
from app.migrations.sql import type_changes
from app.sql_text import fitting, literal, quote_for, undoubled


@dataclass(frozen=True)
class Names:
    """Names of a change: the same for each run and each server."""

    column: str
    function: str
    trigger: str
    ending: str

    def copy_of(self, name: str) -> str:
        """Returns the name of the same index or constraint on the other column."""
        return fitting(f"{name}{self.ending}")


def _retyping(change: ops.AlterColumnOp) -> tuple[Names, Names]:
    """Returns the names of a change to another type, and back."""
    return _names_of_type(change, change.modify_type), _names_of_type(change, change.existing_type)


def _renaming(change: ops.AlterColumnOp) -> tuple[Names, Names]:
    """Returns the names of a change to another name, and back."""
    old, new = change.column_name, str(change.modify_name)
    one, other = (
        Names(to, fitting(f"{change.table_name}_{start}_to_{to}"), fitting(f"zz_{start}_to_{to}"), f"_of_{to}")
        for start, to in ((old, new), (new, old))
    )
    return one, replace(other, column=old)


def _names_of_type(change: ops.AlterColumnOp, kind: Any) -> Names:
    ending = "_as_" + re.sub(r"\W+", "_", spelt(kind).lower()).strip("_")
    column = f"{change.column_name}{ending}"
    function = fitting(f"{change.table_name}_{column}")
    # Triggers fire in the order of their names, and the others may set the old column.
    return Names(fitting(column), function, fitting(f"zz_{column}"), ending)


def spelt(kind: Any, dialect: Any = None) -> str:
    """Returns a type as a database spells it, PostgreSQL unless another one is given."""
    dialect = undoubled(dialect or postgresql.dialect())  # type: ignore[no-untyped-call]
    return str(sa.types.to_instance(kind).compile(dialect=dialect))


class Change:
    """A change on PostgreSQL, and how far it has come.

    Args:
        operations: Alembic's.
        alter: the ALTER in whose place the other column comes: another type, or another name.
    """

    def __init__(self, operations: Operations, alter: ops.AlterColumnOp) -> None:
        self.operations, self.alter = operations, alter
        self.context = operations.get_context()
        self.renames = alter.modify_name is not None
        self.kind = alter.existing_type if self.renames else alter.modify_type
        self.to, self.back = _renaming(alter) if self.renames else _retyping(alter)
        dialect = undoubled(self.context.dialect)
        self.quote = quote_for(dialect)
        self.table = self.quote(self.alter.table_name)
        self.old, self.new = self.quote(self.alter.column_name), self.quote(self.to.column)
        self.using = str(self.alter.kw.get("postgresql_using") or "")
        self.is_script = bool(self.context.as_sql)
        self.catalog = Catalog(operations.get_bind(), self.table)

    @property
    def in_the_end(self) -> str:
        """Returns the name of the column when all is done."""
        return self.new if self.renames else self.old

    def has_begun(self) -> bool:
        """Returns whether the change is under way; in a script it is."""
        return self.is_script or self.catalog.has_trigger(self.to.trigger)

    def goes_back(self) -> bool:
        """Returns whether the change in the other direction is under way."""
        return not self.is_script and self.catalog.has_trigger(self.back.trigger)

    def has_column(self) -> bool:
        """Returns whether the column still has its old name: a step back may follow a step that did nothing."""
        name = self.alter.column_name
        if self.context.dialect.name == "postgresql":
            return self.is_script or self.catalog.settings(name) is not None
        from app.migrations.operations import batches, exact_table  # only this needs them, and what they import

        return name in exact_table.exact_table(batches.database(self.operations), self.alter.table_name).columns

    def run(self, statement: str) -> None:
        """Executes a statement."""
        execute(self.operations, statement)

    def run_once(self, statement: str) -> None:
        """Executes a statement whose need has been looked for, so that it can be repeated."""
        self.run(mark(self.context) + statement)

    def run_whole(self, statement: str) -> None:
        """Executes a statement that loses nothing, for the values are in the other column."""
        self.run(statement if is_script(self.context) else f"{type_changes.MARK} {statement}")

    def announced(self, statement: str) -> str:
        """Returns a statement that is judged as the ALTER, too: before the first one, and when the old values go."""
        if self.renames or is_script(self.context):
            return statement
        alter = f"ALTER TABLE {self.table} ALTER COLUMN {self.old} TYPE "
        alter += spelt(self.alter.modify_type, self.context.dialect)
        if self.using and self.context.dialect.name == "postgresql":
            alter += f" USING {self.using}"
        return f"{type_changes.announcing(alter)} {statement}"

    def drop_trigger(self, names: Names, *, announced: bool = False) -> None:
        """Drops the trigger and its function."""
        drop = f"DROP TRIGGER {self.quote(names.trigger)} ON {self.table}"
        self.run(self.announced(drop) if announced else drop)
        self.run(f"DROP FUNCTION {self.quote(names.function)}()")

    def require_possible(self) -> None:
        """Refuses a column whose place another one can't take.

        Raises:
            MigrationError: what is in the way, and the way out.
        """
        name = f"{self.alter.table_name}.{self.alter.column_name}"
        if is_script(self.context):
            has_parts = HAS_PARTS.format(table=literal(self.table), column=literal(self.alter.column_name))
            said = f"{name} has indexes or constraints, which a script can't copy. Run: alembic upgrade head"
            said = literal(said.replace("%", "%%"))  # RAISE takes a single one for a parameter
            self.run(f"DO $$ BEGIN IF EXISTS ({has_parts}) THEN RAISE EXCEPTION {said}; END IF; END $$")
        if self.is_script:
            return
        reasons = self.catalog.in_the_way(self.alter.column_name)
        if reasons:
            what = "name" if self.renames else "type"
            raise MigrationError(
                f"{name} can't get another {what} beside its readers and writers: {'; '.join(reasons)}. Take that away "
                "in a revision before this one and make it again after; or change it at once, for which all have to "
                "wait, or to stop: alembic -x plain=yes upgrade head"
            )

    def parts(self) -> list[Part]:
        """Returns the indexes and constraints of the column; a script knows of none."""
        if self.is_script:
            return []
        return [*self.catalog.parts(self.alter.column_name, self.to.column, self.to.copy_of)]
