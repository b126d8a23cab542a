"""The words that this package adds to `op`, and those it makes safe on SQLite.

Added: `create_trigger`, `drop_trigger`, `create_trigger_function`, `drop_trigger_function`, `dialect_text`. They carry
all they do as arguments, so an old revision keeps its meaning when our code changes. A comparator, registered as an
Alembic plugin, lets autogenerate see the triggers that are declared with the models' tables.

Made safe: the operations that SQLite has no ALTER for. Each becomes Alembic's copy of the table, what the copy would
lose is kept by `rebuilds`. Comments, which SQLite has no place for, are skipped. So a revision is written once, in
plain operations, and means the same on both databases.
"""

import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, Operations, ops, toimpl
from alembic.operations.batch import BatchOperationsImpl
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult

from app.triggers import UPDATED_AT_FUNCTION, Function, Trigger, declared_triggers, updated_at_trigger

PLUGIN = "app.triggers"

_CONSTANT = re.compile(r"\(?\s*('(?:[^']|'')*'|[-+]?[0-9.]+|true|false|null)\s*\)?", re.IGNORECASE)


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


# --- what they do ------------------------------------------------------------


@Operations.implementation_for(CreateTriggerOp)
def _create_trigger(operations: Operations, operation: CreateTriggerOp) -> None:
    _run(operations, operation.trigger.create(operations.get_context().dialect.name))


@Operations.implementation_for(DropTriggerOp)
def _drop_trigger(operations: Operations, operation: DropTriggerOp) -> None:
    trigger = Trigger(operation.name, operation.table, "", "")
    _run(operations, trigger.drop(operations.get_context().dialect.name))


@Operations.implementation_for(CreateTriggerFunctionOp)
def _create_trigger_function(operations: Operations, operation: CreateTriggerFunctionOp) -> None:
    if operations.get_context().dialect.name == "postgresql":
        _run(operations, operation.function.create)


@Operations.implementation_for(DropTriggerFunctionOp)
def _drop_trigger_function(operations: Operations, operation: DropTriggerFunctionOp) -> None:
    if operations.get_context().dialect.name == "postgresql":
        _run(operations, Function(operation.name, "").drop)


@Operations.implementation_for(DialectTextOp)
def _dialect_text(operations: Operations, operation: DialectTextOp) -> sa.TextClause:
    sqlite = operations.get_context().dialect.name == "sqlite"
    return sa.text(operation.sqlite if sqlite else operation.postgresql)


def _run(operations: Operations, statement: str) -> None:
    operations.execute(sa.text(statement.replace(":", r"\:")))


# --- PostgreSQL: concurrent index builds, which no transaction takes back ----

_INVALID_INDEX = """
SELECT 1 FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE NOT x.indisvalid AND i.relname = :name AND x.indrelid = to_regclass(:table)
"""


def _create_index(operations: Operations, operation: ops.CreateIndexOp) -> None:
    """Creates an index; a concurrent build can be run again, whatever became of the last one."""
    if _concurrently(operations, operation):
        index = operation.to_index(operations.migration_context)
        assert index.table is not None
        table = operations.impl.dialect.identifier_preparer.format_table(index.table)
        found = operations.get_bind().execute(sa.text(_INVALID_INDEX), {"name": str(index.name), "table": table})
        if found.first() is not None:
            _drop_index(operations, ops.DropIndexOp.from_index(index))
        operation.if_not_exists = True
    toimpl.create_index(operations, operation)


def _drop_index(operations: Operations, operation: ops.DropIndexOp) -> None:
    if _concurrently(operations, operation):
        operation.if_exists = True
    toimpl.drop_index(operations, operation)


def _concurrently(operations: Operations, operation: ops.CreateIndexOp | ops.DropIndexOp) -> bool:
    context = operations.get_context()
    online = context.dialect.name == "postgresql" and not context.as_sql
    return online and bool(operation.kw.get("postgresql_concurrently"))


# --- whoever looks on --------------------------------------------------------

Observer = Callable[[Operations, Any, Callable[[], Any]], Any]

observer: ContextVar[Observer | None] = ContextVar("observer", default=None)
"""Hears of each of Alembic's operations before it is carried out, and carries it out, or doesn't."""


def _implementation(operation_class: type[Any], original: Callable[[Operations, Any], Any]) -> None:
    @Operations.implementation_for(operation_class, replace=True)
    def implementation(operations: Operations, operation: Any) -> Any:
        def carry_out() -> Any:
            token = observer.set(None)  # a table copy invokes the operation a second time
            try:
                return original(operations, operation)
            finally:
                observer.reset(token)

        watching = observer.get()
        return original(operations, operation) if watching is None else watching(operations, operation, carry_out)


for _class, _original in (
    (ops.CreateTableOp, toimpl.create_table),
    (ops.DropTableOp, toimpl.drop_table),
    (ops.RenameTableOp, toimpl.rename_table),
    (ops.CreateIndexOp, _create_index),
    (ops.DropIndexOp, _drop_index),
    (ops.BulkInsertOp, toimpl.bulk_insert),
    (ops.ExecuteSQLOp, toimpl.execute_sql),
):
    _implementation(_class, _original)


# --- SQLite: what it has no ALTER for ----------------------------------------


def _copies_table_on_sqlite(
    operation_class: type[Any], original: Callable[[Operations, Any], Any], table_of: Callable[[Any], str]
) -> None:
    def implementation(operations: Operations, operation: Any) -> Any:
        context = operations.get_context()
        if context.dialect.name != "sqlite":
            return original(operations, operation)
        if isinstance(operation, ops.AlterColumnOp):
            operation.modify_comment = False
            if _only_comments(operation):
                return None
        if isinstance(operations.impl, BatchOperationsImpl):
            return original(operations, operation)
        table = table_of(operation)
        if isinstance(operation, ops.AlterColumnOp) and _only_renames(operation):
            return _rename_column(operations, operation)
        before = _stated(operations, table) if context.as_sql else None
        if isinstance(operation, ops.DropColumnOp):
            _drop_indexes(operations, operation, before)
        copies: Literal["never", "always"] = (
            "never" if isinstance(operation, ops.AddColumnOp) and _fits_in_place(operation.column) else "always"
        )
        with operations.batch_alter_table(table, copy_from=before, recreate=copies) as batch:
            batch.invoke(operation)
        return None

    _implementation(operation_class, implementation)


def _stated(operations: Operations, table: str) -> sa.Table:
    impl: Any = operations.impl
    table_now: sa.Table = operations.get_context().opts["sqlite_table"](table, impl.autogen_column_reflect)
    return table_now


def _drop_indexes(operations: Operations, operation: ops.DropColumnOp, stated: sa.Table | None) -> None:
    """Drops the indexes on a column that is dropped: PostgreSQL does so by itself, Alembic's copy would fail."""
    table = stated
    if table is None:
        table = sa.Table(operation.table_name, sa.MetaData(), autoload_with=operations.get_bind())
    for index in [index for index in table.indexes if operation.column_name in index.columns]:
        operations.drop_index(str(index.name), table_name=table.name)
        table.indexes.remove(index)


def _fits_in_place(column: sa.Column[Any]) -> bool:
    """Whether SQLite's own ADD COLUMN takes the column: copying a large table for a flag would be a shame."""
    default = getattr(column.server_default, "arg", None)
    text = default.text if isinstance(default, sa.TextClause) else default
    constant = isinstance(default, str) or (isinstance(text, str) and _CONSTANT.fullmatch(text) is not None)
    if column.server_default is None:
        return bool(column.nullable) and not column.unique and not column.primary_key
    return constant and not (column.unique or column.primary_key or column.foreign_keys)


def _only_comments(operation: ops.AlterColumnOp) -> bool:
    return operation.modify_name is None and _keeps_definition(operation)


def _only_renames(operation: ops.AlterColumnOp) -> bool:
    return operation.modify_name is not None and _keeps_definition(operation)


def _keeps_definition(operation: ops.AlterColumnOp) -> bool:
    changed = operation.modify_nullable is not None or operation.modify_type is not None
    return not changed and operation.modify_server_default is False


def _rename_column(operations: Operations, operation: ops.AlterColumnOp) -> None:
    """SQLite has this one: indexes, triggers, views and other tables' foreign keys follow."""
    quote = operations.get_context().dialect.identifier_preparer.quote
    old, new = quote(operation.column_name), quote(str(operation.modify_name))
    _run(operations, f"ALTER TABLE {quote(operation.table_name)} RENAME COLUMN {old} TO {new}")


def _table_name(operation: Any) -> str:
    return str(operation.table_name)


_copies_table_on_sqlite(ops.AlterColumnOp, toimpl.alter_column, _table_name)
_copies_table_on_sqlite(ops.AddColumnOp, toimpl.add_column, _table_name)
_copies_table_on_sqlite(ops.DropColumnOp, toimpl.drop_column, _table_name)
_copies_table_on_sqlite(ops.DropConstraintOp, toimpl.drop_constraint, _table_name)
_copies_table_on_sqlite(ops.CreateUniqueConstraintOp, toimpl.create_constraint, _table_name)
_copies_table_on_sqlite(ops.CreateCheckConstraintOp, toimpl.create_constraint, _table_name)
_copies_table_on_sqlite(ops.CreatePrimaryKeyOp, toimpl.create_constraint, _table_name)
_copies_table_on_sqlite(ops.CreateForeignKeyOp, toimpl.create_constraint, lambda operation: str(operation.source_table))


def _skipped_on_sqlite(operation_class: type[Any], original: Callable[[Operations, Any], None]) -> None:
    def implementation(operations: Operations, operation: Any) -> None:
        if operations.get_context().dialect.name != "sqlite":
            original(operations, operation)

    _implementation(operation_class, implementation)


_skipped_on_sqlite(ops.CreateTableCommentOp, toimpl.create_table_comment)
_skipped_on_sqlite(ops.DropTableCommentOp, toimpl.drop_table_comment)


# --- how they are written into a revision ------------------------------------


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


# --- how autogenerate sees them ----------------------------------------------

_POSTGRESQL_TRIGGERS = """
SELECT t.tgname, c.relname, pg_get_triggerdef(t.oid, true), p.proname, p.prosrc
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace
"""
_POSTGRESQL_FUNCTION = """
SELECT prosrc FROM pg_proc WHERE proname = :name AND pronamespace = current_schema()::regnamespace
"""


def compare_triggers(
    context: AutogenContext, upgrade_ops: ops.UpgradeOps, _schemas: set[str | None]
) -> PriorityDispatchResult:
    """Adds to `upgrade_ops` what makes the database's triggers those of the metadata.

    Looked at are triggers that bear a name of ours, `update_{table}_updated_at`: others are somebody else's, and stay.
    """
    assert context.connection is not None
    assert isinstance(context.metadata, sa.MetaData)
    wanted = declared_triggers(context.metadata)
    found = _triggers_in(context.connection)
    dialect = context.connection.dialect.name
    gone = [t for name, t in found.items() if name not in wanted and _is_managed(context, t)]
    changed = [t for name, t in found.items() if name in wanted and not _same(t, wanted[name], dialect)]
    added = [t for name, t in wanted.items() if name not in found or found[name] in changed]
    # A trigger goes before its table does, so that the downgrade, in reverse, makes the table first.
    upgrade_ops.ops[:0] = [DropTriggerOp(t.name, t.table, t) for t in gone + changed]
    upgrade_ops.ops.extend(_function_ops(context.connection, wanted, found))
    upgrade_ops.ops.extend(CreateTriggerOp(t) for t in added)
    if found and not wanted:
        upgrade_ops.ops.append(DropTriggerFunctionOp(UPDATED_AT_FUNCTION.name, UPDATED_AT_FUNCTION))
    return PriorityDispatchResult.CONTINUE


def _is_managed(context: AutogenContext, trigger: Any) -> bool:
    return context.run_object_filters(trigger, trigger.name, "trigger", True, None)  # type: ignore[arg-type]


def setup(plugin: Plugin) -> None:
    """Registers the comparator, as Alembic's plugin protocol asks."""
    plugin.add_autogenerate_comparator(compare_triggers, "schema", "triggers", priority=DispatchPriority.LAST)


def _function_ops(connection: sa.Connection, wanted: dict[str, Trigger], found: dict[str, Trigger]) -> list[Any]:
    if not wanted:
        return []
    if connection.dialect.name != "postgresql":
        # SQLite has no function to look at: it came with the first trigger.
        return [] if found else [CreateTriggerFunctionOp(UPDATED_AT_FUNCTION)]
    body = connection.execute(sa.text(_POSTGRESQL_FUNCTION), {"name": UPDATED_AT_FUNCTION.name}).scalar()
    if body is None:
        return [CreateTriggerFunctionOp(UPDATED_AT_FUNCTION)]
    if _words(body) == _words(UPDATED_AT_FUNCTION.body):
        return []
    return [CreateTriggerFunctionOp(UPDATED_AT_FUNCTION, Function(UPDATED_AT_FUNCTION.name, body))]


def _triggers_in(connection: sa.Connection) -> dict[str, Trigger]:
    if connection.dialect.name == "postgresql":
        rows = connection.execute(sa.text(_POSTGRESQL_TRIGGERS)).all()
        triggers = [Trigger(r[0], r[1], _definition(r[2], r[0]), updated_at_trigger(r[1]).sqlite) for r in rows]
    else:
        rows = connection.execute(sa.text("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
        triggers = [Trigger(r[0], r[1], updated_at_trigger(r[1]).postgresql, _definition(r[2], r[0])) for r in rows]
    return {t.name: t for t in triggers if t.name == updated_at_trigger(t.table).name}


def _definition(statement: str, name: str) -> str:
    return re.sub(rf'^\s*CREATE\s+TRIGGER\s+"?{re.escape(name)}"?\s+', "", statement, flags=re.IGNORECASE)


def _same(found: Trigger, wanted: Trigger, dialect: str) -> bool:
    if dialect == "postgresql":
        return _words(found.postgresql) == _words(wanted.postgresql)
    return _words(found.sqlite) == _words(wanted.sqlite)


def _words(text: str) -> list[str]:
    return text.split()


# Imported once in a process, while env.py runs with every command: registering twice is an error.
Plugin.setup_plugin_from_module(__import__("sys").modules[__name__], PLUGIN)
