"""The words that are added to `op`: what they say, what they do, and how autogenerate writes them."""

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, Operations

from app.migrations.operations.statements import run
from app.triggers import Function, Trigger


@Operations.register_operation("create_trigger")
class CreateTriggerOp(MigrateOperation):
    """Creates a trigger."""

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger

    @classmethod
    def create_trigger(cls, operations: Operations, name: str, table: str, *, postgresql: str, sqlite: str) -> None:
        """Creates a trigger; what follows `CREATE TRIGGER name` is given in the words of each database."""
        operations.invoke(cls(Trigger(name, table, postgresql, sqlite)))

    def reverse(self) -> "DropTriggerOp":
        """The operation that undoes this one."""
        return DropTriggerOp(self.trigger.name, self.trigger.table, self.trigger)

    def to_diff_tuple(self) -> tuple[str, Trigger]:
        """What `alembic check` prints."""
        return ("add_trigger", self.trigger)


@Operations.register_operation("drop_trigger")
class DropTriggerOp(MigrateOperation):
    """Drops a trigger."""

    def __init__(self, name: str, table: str, trigger: Trigger | None = None) -> None:
        self.name = name
        self.table = table
        self.trigger = trigger

    @classmethod
    def drop_trigger(cls, operations: Operations, name: str, table: str) -> None:
        """Drops the trigger `name` of `table`."""
        operations.invoke(cls(name, table))

    def reverse(self) -> CreateTriggerOp:
        """The operation that undoes this one.

        Raises:
            ValueError: the operation was written by hand, so nothing tells what the trigger did.
        """
        if self.trigger is None:
            raise ValueError(f"nothing tells what the trigger {self.name} did")
        return CreateTriggerOp(self.trigger)

    def to_diff_tuple(self) -> tuple[str, str, str]:
        """What `alembic check` prints."""
        return ("remove_trigger", self.name, self.table)


@Operations.register_operation("create_trigger_function")
class CreateTriggerFunctionOp(MigrateOperation):
    """Creates a trigger function, or replaces the one of that name; only PostgreSQL has them."""

    def __init__(self, function: Function, previous: Function | None = None) -> None:
        self.function = function
        self.previous = previous

    @classmethod
    def create_trigger_function(cls, operations: Operations, name: str, body: str) -> None:
        """Creates or replaces the PL/pgSQL function `name`; does nothing on SQLite."""
        operations.invoke(cls(Function(name, body)))

    def reverse(self) -> "CreateTriggerFunctionOp | DropTriggerFunctionOp":
        """The operation that undoes this one."""
        if self.previous is not None:
            return CreateTriggerFunctionOp(self.previous, self.function)
        return DropTriggerFunctionOp(self.function.name, self.function)

    def to_diff_tuple(self) -> tuple[str, Function]:
        """What `alembic check` prints."""
        return ("add_trigger_function", self.function)


@Operations.register_operation("drop_trigger_function")
class DropTriggerFunctionOp(MigrateOperation):
    """Drops a trigger function; only PostgreSQL has them."""

    def __init__(self, name: str, function: Function | None = None) -> None:
        self.name = name
        self.function = function

    @classmethod
    def drop_trigger_function(cls, operations: Operations, name: str) -> None:
        """Drops the function `name`; does nothing on SQLite."""
        operations.invoke(cls(name))

    def reverse(self) -> CreateTriggerFunctionOp:
        """The operation that undoes this one.

        Raises:
            ValueError: the operation was written by hand, so nothing tells what the function did.
        """
        if self.function is None:
            raise ValueError(f"nothing tells what the function {self.name} did")
        return CreateTriggerFunctionOp(self.function)

    def to_diff_tuple(self) -> tuple[str, str]:
        """What `alembic check` prints."""
        return ("remove_trigger_function", self.name)


@Operations.register_operation("dialect_text")
class DialectTextOp(MigrateOperation):
    """A server default that the databases spell differently."""

    def __init__(self, postgresql: str, sqlite: str) -> None:
        self.postgresql = postgresql
        self.sqlite = sqlite

    @classmethod
    def dialect_text(cls, operations: Operations, *, postgresql: str, sqlite: str) -> sa.TextClause:
        """SQL text in the words of the database at hand."""
        text: sa.TextClause = operations.invoke(cls(postgresql, sqlite))
        return text


@Operations.implementation_for(CreateTriggerOp)
def _create_trigger(operations: Operations, operation: CreateTriggerOp) -> None:
    run(operations, operation.trigger.create(operations.get_context().dialect.name))


@Operations.implementation_for(DropTriggerOp)
def _drop_trigger(operations: Operations, operation: DropTriggerOp) -> None:
    trigger = Trigger(operation.name, operation.table, "", "")
    run(operations, trigger.drop(operations.get_context().dialect.name))


@Operations.implementation_for(CreateTriggerFunctionOp)
def _create_trigger_function(operations: Operations, operation: CreateTriggerFunctionOp) -> None:
    if operations.get_context().dialect.name == "postgresql":
        run(operations, operation.function.create)


@Operations.implementation_for(DropTriggerFunctionOp)
def _drop_trigger_function(operations: Operations, operation: DropTriggerFunctionOp) -> None:
    if operations.get_context().dialect.name == "postgresql":
        run(operations, Function(operation.name, "").drop)


@Operations.implementation_for(DialectTextOp)
def _dialect_text(operations: Operations, operation: DialectTextOp) -> sa.TextClause:
    sqlite = operations.get_context().dialect.name == "sqlite"
    return sa.text(operation.sqlite if sqlite else operation.postgresql)


@renderers.dispatch_for(CreateTriggerOp)
def _render_create_trigger(_context: AutogenContext, operation: CreateTriggerOp) -> str:
    trigger = operation.trigger
    return (
        f"op.create_trigger({trigger.name!r}, {trigger.table!r}, "
        f"postgresql={trigger.postgresql!r}, sqlite={trigger.sqlite!r})"
    )


@renderers.dispatch_for(DropTriggerOp)
def _render_drop_trigger(_context: AutogenContext, operation: DropTriggerOp) -> str:
    return f"op.drop_trigger({operation.name!r}, {operation.table!r})"


@renderers.dispatch_for(CreateTriggerFunctionOp)
def _render_create_trigger_function(_context: AutogenContext, operation: CreateTriggerFunctionOp) -> str:
    return f"op.create_trigger_function({operation.function.name!r}, {operation.function.body!r})"


@renderers.dispatch_for(DropTriggerFunctionOp)
def _render_drop_trigger_function(_context: AutogenContext, operation: DropTriggerFunctionOp) -> str:
    return f"op.drop_trigger_function({operation.name!r})"
