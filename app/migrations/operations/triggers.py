"""Operations on triggers and their functions; each carries all it does as arguments."""

import sqlalchemy as sa
from alembic.operations import Operations

from app.migrations.operations.statements import StatementOp
from app.triggers import Function, Trigger


class CreateTriggerOp(StatementOp):
    """Creates a trigger."""

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger

    @classmethod
    def create_trigger(cls, operations: Operations, name: str, table: str, *, postgresql: str, sqlite: str) -> None:
        """Creates a trigger; `postgresql` and `sqlite` are the text after `CREATE TRIGGER name` on each database."""
        operations.invoke(cls(Trigger(name, table, postgresql, sqlite)))

    def statement(self, dialect: sa.Dialect) -> str:
        """Returns CREATE TRIGGER."""
        return self.trigger.create(dialect.name)

    def call(self) -> str:
        """Returns `op.create_trigger(...)`."""
        t = self.trigger
        return f"op.create_trigger({t.name!r}, {t.table!r}, postgresql={t.postgresql!r}, sqlite={t.sqlite!r})"

    def reverse(self) -> "DropTriggerOp":
        """Returns the operation that drops the trigger."""
        return DropTriggerOp(self.trigger.name, self.trigger.table, self.trigger)

    def to_diff_tuple(self) -> tuple[str, Trigger]:
        """Returns the difference that this operation ends."""
        return ("add_trigger", self.trigger)


class DropTriggerOp(StatementOp):
    """Drops a trigger."""

    def __init__(self, name: str, table: str, trigger: Trigger | None = None) -> None:
        self.name = name
        self.table = table
        self.trigger = trigger

    @classmethod
    def drop_trigger(cls, operations: Operations, name: str, table: str) -> None:
        """Drops the trigger `name` of `table`."""
        operations.invoke(cls(name, table))

    def statement(self, dialect: sa.Dialect) -> str:
        """Returns DROP TRIGGER."""
        return Trigger(self.name, self.table, "", "").drop(dialect.name)

    def call(self) -> str:
        """Returns `op.drop_trigger(...)`."""
        return f"op.drop_trigger({self.name!r}, {self.table!r})"

    def reverse(self) -> CreateTriggerOp:
        """Returns the operation that creates the trigger again; ValueError if its definition is unknown."""
        if self.trigger is None:
            raise ValueError(f"the definition of the trigger {self.name} is unknown")
        return CreateTriggerOp(self.trigger)

    def to_diff_tuple(self) -> tuple[str, str, str]:
        """Returns the difference that this operation ends."""
        return ("remove_trigger", self.name, self.table)


class CreateTriggerFunctionOp(StatementOp):
    """Creates or replaces a PL/pgSQL trigger function; does nothing on SQLite."""

    def __init__(self, function: Function, previous: Function | None = None) -> None:
        self.function = function
        self.previous = previous

    @classmethod
    def create_trigger_function(cls, operations: Operations, name: str, body: str) -> None:
        """Creates or replaces the PL/pgSQL function `name`; does nothing on SQLite."""
        operations.invoke(cls(Function(name, body)))

    def statement(self, dialect: sa.Dialect) -> str | None:
        """Returns CREATE OR REPLACE FUNCTION."""
        return self.function.create if dialect.name == "postgresql" else None

    def call(self) -> str:
        """Returns `op.create_trigger_function(...)`."""
        return f"op.create_trigger_function({self.function.name!r}, {self.function.body!r})"

    def reverse(self) -> "CreateTriggerFunctionOp | DropTriggerFunctionOp":
        """Returns the operation that restores the replaced function, or drops the new one."""
        if self.previous is not None:
            return CreateTriggerFunctionOp(self.previous, self.function)
        return DropTriggerFunctionOp(self.function.name, self.function)

    def to_diff_tuple(self) -> tuple[str, Function]:
        """Returns the difference that this operation ends."""
        return ("add_trigger_function", self.function)


class DropTriggerFunctionOp(StatementOp):
    """Drops a trigger function; does nothing on SQLite."""

    def __init__(self, name: str, function: Function | None = None) -> None:
        self.name = name
        self.function = function

    @classmethod
    def drop_trigger_function(cls, operations: Operations, name: str) -> None:
        """Drops the function `name`; does nothing on SQLite."""
        operations.invoke(cls(name))

    def statement(self, dialect: sa.Dialect) -> str | None:
        """Returns DROP FUNCTION."""
        return Function(self.name, "").drop if dialect.name == "postgresql" else None

    def call(self) -> str:
        """Returns `op.drop_trigger_function(...)`."""
        return f"op.drop_trigger_function({self.name!r})"

    def reverse(self) -> CreateTriggerFunctionOp:
        """Returns the operation that creates the function again; ValueError if its body is unknown."""
        if self.function is None:
            raise ValueError(f"the body of the function {self.name} is unknown")
        return CreateTriggerFunctionOp(self.function)

    def to_diff_tuple(self) -> tuple[str, str]:
        """Returns the difference that this operation ends."""
        return ("remove_trigger_function", self.name)
