"""Operations on triggers and their functions; each carries all it does as arguments."""

from dataclasses import dataclass

import sqlalchemy as sa
from alembic.operations import Operations

from app.migrations.operations.statements import StatementOp
from app.triggers import Function, Trigger


@dataclass(eq=False)
class CreateTriggerOp(StatementOp):
    """Creates a trigger, or creates or replaces a trigger function.

    Attributes:
        item: the trigger or the function.
        previous: the function that is replaced.
    """

    item: Trigger | Function
    previous: Trigger | Function | None = None

    @classmethod
    def create_trigger(cls, operations: Operations, name: str, table: str, *, postgresql: str, sqlite: str) -> None:
        """Creates a trigger; `postgresql` and `sqlite` are the text after `CREATE TRIGGER name` on each database."""
        operations.invoke(cls(Trigger(name, table, postgresql, sqlite)))

    @classmethod
    def create_trigger_function(cls, operations: Operations, name: str, body: str) -> None:
        """Creates or replaces the PL/pgSQL function `name`; does nothing on SQLite."""
        operations.invoke(cls(Function(name, body)))

    def statement(self, dialect: sa.Dialect) -> str | None:
        """Returns CREATE TRIGGER or CREATE FUNCTION."""
        return self.item.create(dialect.name)

    def call(self) -> str:
        """Returns `op.create_trigger(...)` or `op.create_trigger_function(...)`."""
        match self.item:
            case Trigger(name, table, postgresql, sqlite):
                return f"op.create_trigger({name!r}, {table!r}, postgresql={postgresql!r}, sqlite={sqlite!r})"
            case Function(name, body):
                return f"op.create_trigger_function({name!r}, {body!r})"

    def reverse(self) -> "CreateTriggerOp | DropTriggerOp":
        """Returns the operation that drops the item, or restores the replaced function."""
        return DropTriggerOp(self.item) if self.previous is None else CreateTriggerOp(self.previous, self.item)

    def to_diff_tuple(self) -> tuple[str, Trigger | Function]:
        """Returns the difference that this operation ends."""
        return (f"add_{self.item.kind}", self.item)


@dataclass(eq=False)
class DropTriggerOp(StatementOp):
    """Drops a trigger or a trigger function.

    Attributes:
        item: the trigger or the function.
        known: its definition is known; a call in a revision states the name alone.
    """

    item: Trigger | Function
    known: bool = True

    @classmethod
    def drop_trigger(cls, operations: Operations, name: str, table: str) -> None:
        """Drops the trigger `name` of `table`."""
        operations.invoke(cls(Trigger(name, table, "", ""), known=False))

    @classmethod
    def drop_trigger_function(cls, operations: Operations, name: str) -> None:
        """Drops the function `name`; does nothing on SQLite."""
        operations.invoke(cls(Function(name, ""), known=False))

    def statement(self, dialect: sa.Dialect) -> str | None:
        """Returns DROP TRIGGER or DROP FUNCTION."""
        return self.item.drop(dialect.name)

    def call(self) -> str:
        """Returns `op.drop_trigger(...)` or `op.drop_trigger_function(...)`."""
        table = f", {self.item.table!r}" if isinstance(self.item, Trigger) else ""
        return f"op.drop_{self.item.kind}({self.item.name!r}{table})"

    def reverse(self) -> CreateTriggerOp:
        """Returns the operation that creates the item again; ValueError if its definition isn't known."""
        if not self.known:
            raise ValueError(f"the definition of {self.item.name} isn't known")
        return CreateTriggerOp(self.item)

    def to_diff_tuple(self) -> tuple[str, Trigger | Function]:
        """Returns the difference that this operation ends."""
        return (f"remove_{self.item.kind}", self.item)
