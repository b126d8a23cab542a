"""The words that are added to `op`; each carries all it does as arguments."""

from dataclasses import dataclass

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, Operations
from sqlalchemy.ext.compiler import compiles

from app.sql_text import quote_for, without_parameters
from app.triggers import Function, Trigger


class StatementOp(MigrateOperation):
    """Base of the operations that execute one statement and are written as one call."""

    def statement(self, dialect: sa.Dialect) -> str | None:
        """Returns the statement; None where the database needs none."""
        raise NotImplementedError

    def call(self) -> str:
        """Returns the code of the call, as autogenerate writes it."""
        raise NotImplementedError


@Operations.implementation_for(StatementOp)
def _execute_operation(operations: Operations, operation: StatementOp) -> None:
    statement = operation.statement(operations.get_context().dialect)
    if statement is not None:
        execute(operations, statement)


@renderers.dispatch_for(StatementOp)
def _render_operation(_context: AutogenContext, operation: StatementOp) -> str:
    return operation.call()


def execute(operations: Operations, statement: str) -> None:
    """Executes a statement in which no colon is a parameter."""
    operations.execute(sa.text(without_parameters(statement)))


@Operations.register_operation("create_trigger")
@Operations.register_operation("create_trigger_function")
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


@Operations.register_operation("drop_trigger")
@Operations.register_operation("drop_trigger_function")
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


@Operations.register_operation("validate_constraint")
@dataclass(eq=False)
class ValidateConstraintOp(StatementOp):
    """Checks that all rows satisfy a constraint that was added `NOT VALID`; does nothing on SQLite."""

    name: str
    table: str

    @classmethod
    def validate_constraint(cls, operations: Operations, name: str, table: str) -> None:
        """Checks that all rows of `table` satisfy the constraint `name`; on SQLite adding it has done so."""
        operations.invoke(cls(name, table))

    def statement(self, dialect: sa.Dialect) -> str | None:
        """Returns ALTER TABLE ... VALIDATE CONSTRAINT."""
        name, table = map(quote_for(dialect), (self.name, self.table))
        return f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}" if dialect.name == "postgresql" else None

    def call(self) -> str:
        """Returns `op.validate_constraint(...)`."""
        return f"op.validate_constraint({self.name!r}, {self.table!r})"

    def to_diff_tuple(self) -> tuple[str, str, str]:
        """Returns the operation in the form of a difference."""
        return ("validate_constraint", self.name, self.table)


@Operations.register_operation("dialect_text")
class DialectTextOp(MigrateOperation):
    """A server default that each database spells in its own way: text, rather than a change of its own."""

    @classmethod
    def dialect_text(cls, operations: Operations, *, postgresql: str, sqlite: str) -> sa.TextClause:
        """Returns SQL text in the spelling of the database that the revision runs on."""
        return sa.text(sqlite if operations.get_context().dialect.name == "sqlite" else postgresql)


class NamedType(sa.types.UserDefinedType[object]):
    """A type by its name in each database."""

    cache_ok = True

    def __init__(self, postgresql: str, sqlite: str) -> None:
        self.postgresql, self.sqlite = postgresql, sqlite

    def get_col_spec(self, **_: object) -> str:
        """Returns the name on PostgreSQL."""
        return self.postgresql


@compiles(NamedType, "sqlite")
def _compile_on_sqlite(named: NamedType, _compiler: object, **_: object) -> str:
    return named.sqlite


@Operations.register_operation("type_text")
class TypeTextOp(MigrateOperation):
    """A column's type by its name, where SQLAlchemy has none for it."""

    @classmethod
    def type_text(cls, operations: Operations, *, postgresql: str, sqlite: str) -> NamedType:  # noqa: ARG003 - Alembic's
        """Returns the type that each database calls so."""
        return NamedType(postgresql, sqlite)
