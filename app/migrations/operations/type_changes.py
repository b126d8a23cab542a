"""`op.start_type_change`, `op.fill_type_change`, `op.finish_type_change`: another type, with no table written anew.

    op.start_type_change("users", "age", type_=sa.BigInteger(), existing_type=sa.Integer())    # one revision

    with op.concurrently():                                                                    # the next
        op.fill_type_change("users", "age", type_=sa.BigInteger(), existing_type=sa.Integer())

    op.finish_type_change("users", "age", type_=sa.BigInteger(), existing_type=sa.Integer())   # after the release

On PostgreSQL the first adds a column of the new type, `age_as_bigint`, and a trigger that sets it in each row that is
written. The second fills it page by page, and builds on it what the old column has. The third puts it in the place of
the old one, which takes a moment. A downgrade makes the same three calls with the types exchanged: the step back from
the third begins the change back, and that from the first finishes it. A change that was begun in the one direction is
undone by the last step in the other. On SQLite, and where plain operations are asked for, the third alters the column.
"""

from contextlib import nullcontext
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, Operations, ops

from app import backfill
from app.migrations.errors import MigrationError
from app.migrations.operations.catalog_table import is_script
from app.migrations.operations.column_parts import Part
from app.migrations.operations.concurrently import block, is_plain, is_wanted
from app.migrations.operations.shadow_column import Change, spelt
from app.sql_text import for_driver, literal


class TypeChangeOp(MigrateOperation):
    """Base of the three.

    Attributes:
        change: the ALTER in whose place they stand.
        word: the word of `op`.
    """

    word = ""

    def __init__(self, change: ops.AlterColumnOp) -> None:
        self.change = change
        self.table_name = change.table_name

    @classmethod
    def of(
        cls,
        operations: Operations,
        table: str,
        column: str,
        *,
        type_: Any,
        existing_type: Any,
        existing_nullable: bool | None = None,
        existing_server_default: Any = False,
        existing_comment: str | None = None,
        server_default: Any = False,
        comment: Any = False,
        postgresql_using: str | None = None,
    ) -> None:
        """Takes a step of a change of a type; the arguments are those of `op.alter_column`."""
        change = ops.AlterColumnOp(
            table,
            column,
            modify_type=type_,
            existing_type=existing_type,
            existing_nullable=existing_nullable,
            existing_server_default=existing_server_default,
            existing_comment=existing_comment,
            modify_server_default=server_default,
            modify_comment=comment,
        )
        if postgresql_using is not None:
            change.kw["postgresql_using"] = postgresql_using
        operations.invoke(cls(change))

    def to_diff_tuple(self) -> tuple[str, str, str]:
        """Returns the operation in the form of a difference."""
        return (self.word, self.change.column_name, self.table_name)


@Operations.register_operation("start_type_change", "of")
class StartTypeChangeOp(TypeChangeOp):
    """Adds the other column, and the trigger that sets it."""

    word = "start_type_change"


@Operations.register_operation("fill_type_change", "of")
class FillTypeChangeOp(TypeChangeOp):
    """Fills the other column, and gives it what the old one has."""

    word = "fill_type_change"


@Operations.register_operation("finish_type_change", "of")
class FinishTypeChangeOp(TypeChangeOp):
    """Puts the other column in the place of the old one."""

    word = "finish_type_change"


@Operations.implementation_for(StartTypeChangeOp)
def _start(operations: Operations, operation: StartTypeChangeOp) -> None:
    change = Change(operations, operation.change)
    if is_plain(operations.get_context()):
        if not change.renames:
            change.run(change.announced("SELECT 1"))  # a consent has its ground in the same revision everywhere
        return
    if change.goes_back() or (not change.is_script and change.has_begun()):
        return
    change.require_possible()
    kind = spelt(change.kind)
    change.run(change.announced(f"ALTER TABLE {change.table} ADD COLUMN {change.new} {kind}"))
    function, path = change.quote(change.to.function), _search_path(change)
    body = f"BEGIN {_both_ways(change) if change.renames else f'new.{change.new} := {_value(change)};'} RETURN new; END"
    change.run(f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql{path} AS {literal(body)}")
    change.run(
        f"CREATE TRIGGER {change.quote(change.to.trigger)} BEFORE INSERT OR UPDATE ON {change.table} "
        f"FOR EACH ROW EXECUTE FUNCTION {function}()"
    )


def _both_ways(change: Change) -> str:
    """Returns the code that lets a row have the same value under both names: the one that is written wins."""
    old, new = change.old, change.new
    return (
        f"IF (tg_op = 'INSERT' AND new.{new} IS NOT NULL) "
        f"OR (tg_op = 'UPDATE' AND new.{new}::text IS DISTINCT FROM old.{new}::text) "
        f"THEN new.{old} := new.{new}; ELSE new.{new} := new.{old}; END IF;"
    )


def _search_path(change: Change) -> str:
    """Returns the clause by which an expression means the same to each writer; a mere assignment names nothing."""
    if not change.using:
        return ""
    if change.is_script:
        return " SET search_path FROM CURRENT"
    schema = change.operations.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar()
    return f" SET search_path TO {schema}, pg_temp"


def _value(change: Change) -> str:
    from app.migrations.sql import column_names  # its parser takes time to load

    value = column_names.of_new_row(change.using or change.old)
    if value is None:
        raise MigrationError(
            f"PostgreSQL's grammar doesn't know {change.using!r}: write postgresql_using as an expression of the "
            f'columns, such as postgresql_using="{change.alter.column_name}::bigint"'
        )
    return value


@Operations.implementation_for(FillTypeChangeOp)
def _fill(operations: Operations, operation: FillTypeChangeOp) -> None:
    if is_plain(operations.get_context()):
        return
    change = Change(operations, operation.change)
    if not change.has_begun():
        return
    change.require_possible()
    given, value = f"{change.old} IS NOT NULL", change.using or change.old
    todo = f"WHERE {change.new} IS NULL AND {given}"
    if is_script(change.context):
        change.run(f"UPDATE {change.table} SET {change.new} = {value} {todo}")
    elif change.is_script:  # a preview has to know that rows change; the value was judged when the change began
        change.run_whole(f"{backfill.MARKER} UPDATE {change.table} SET {change.new} = {change.old} {todo}")
    with nullcontext() if is_wanted(operations) else block(change.context):
        if not change.is_script:
            spelt = [for_driver(text, change.context.dialect) for text in (value, given)]
            backfill.fill(operations.get_bind(), change.alter.table_name, change.to.column, spelt[0], given=spelt[1])
        for part in change.parts():
            _copy_part(change, part)
        if _is_required(change):
            operations.alter_column(
                change.alter.table_name, change.to.column, existing_type=change.kind, nullable=False
            )
        change.run(f"ANALYZE {change.table} ({change.new})")


def _is_required(change: Change) -> bool:
    if change.is_script:
        return change.alter.existing_nullable is False
    settings = change.catalog.settings(change.alter.column_name)
    return settings is not None and settings.required


def _copy_part(change: Change, part: Part) -> None:
    is_valid, name = change.catalog.is_valid(part.copy), change.quote(part.copy)
    if part.kind != "CONSTRAINT":
        if not is_valid:
            change.run(part.definition)
        return
    if is_valid is None:
        change.run_once(f"ALTER TABLE {change.table} ADD {part.definition}")
    if part.validated and not is_valid:
        change.run_once(f"ALTER TABLE {change.table} VALIDATE CONSTRAINT {name}")


@Operations.implementation_for(FinishTypeChangeOp)
def _finish(operations: Operations, operation: FinishTypeChangeOp) -> None:
    change = Change(operations, operation.change)
    on_postgresql = change.context.dialect.name == "postgresql"
    if on_postgresql and change.goes_back():
        change.drop_trigger(change.back)
        change.run_whole(f"ALTER TABLE {change.table} DROP COLUMN {change.quote(change.back.column)}")
    elif on_postgresql and change.has_begun() and not (change.is_script and is_plain(operations.get_context())):
        _swap(change)
    elif not change.renames:
        change.run(change.announced("SELECT 1"))
        operations.invoke(operation.change)
    elif change.has_column():
        operations.invoke(operation.change)


def _swap(change: Change) -> None:
    parts = change.parts()
    for part in parts:
        if change.catalog.is_valid(part.copy) is not (part.kind != "CONSTRAINT" or part.validated):
            raise MigrationError(
                f"{change.alter.table_name} has got {part.name} since {change.to.column} was filled: "
                f"fill it again: alembic downgrade -1, then alembic upgrade head"
            )
    if not change.is_script:
        change.require_possible()
    settings = change.catalog.settings(change.alter.column_name) if not change.is_script else None
    copy = change.catalog.settings(change.to.column) if not change.is_script else None
    table = f"ALTER TABLE {change.table}"
    change.drop_trigger(change.to, announced=True)
    change.run_whole(f"{table} DROP COLUMN {change.old}")
    if not change.renames:
        change.run_whole(f"{table} RENAME COLUMN {change.new} TO {change.old}")
    for part in parts:
        _rename_part(change, part)
    if settings is not None and settings.statistics is not None:
        change.run(f"{table} ALTER COLUMN {change.in_the_end} SET STATISTICS {settings.statistics}")
    if not change.renames and settings is not None and copy is not None and settings.not_null and copy.not_null:
        was, name = change.quote(copy.not_null), change.quote(settings.not_null)
        change.run(f"{table} RENAME CONSTRAINT {was} TO {name}")
    _restore_words(change, settings.default if settings else None, settings.comment if settings else None)


def _rename_part(change: Change, part: Part) -> None:
    name, copy = change.quote(part.name), change.quote(part.copy)
    match part.kind:
        case "INDEX":
            change.run(f"ALTER INDEX {copy} RENAME TO {name}")
        case "UNIQUE":
            change.run(f"ALTER TABLE {change.table} ADD CONSTRAINT {name} UNIQUE USING INDEX {copy}{part.options}")
        case _:
            change.run(f"ALTER TABLE {change.table} RENAME CONSTRAINT {copy} TO {name}")
    if part.comment is not None:
        is_index = part.kind == "INDEX"
        what = f"INDEX {name}" if is_index else f"CONSTRAINT {name} ON {change.table}"
        change.run(f"COMMENT ON {what} IS {literal(part.comment)}")


def _restore_words(change: Change, default: str | None, comment: str | None) -> None:
    """Gives the column in its new place the default and the comment: new ones, or those that it had."""
    alter = change.alter
    column = str(alter.modify_name or alter.column_name)
    words = ops.AlterColumnOp(alter.table_name, column, existing_type=change.kind)
    if alter.modify_server_default is not False:
        words.modify_server_default = alter.modify_server_default
    elif change.is_script and alter.existing_server_default not in (False, None):
        words.modify_server_default = alter.existing_server_default
    elif default is not None:
        change.run(f"ALTER TABLE {change.table} ALTER COLUMN {change.in_the_end} SET DEFAULT {default}")
    if alter.modify_comment is not False:
        words.modify_comment = alter.modify_comment
    elif (text := alter.existing_comment if change.is_script else comment) is not None:
        words.modify_comment = text
    if words.has_changes():
        change.operations.invoke(words)


@renderers.dispatch_for(TypeChangeOp)
def _render(context: AutogenContext, operation: TypeChangeOp) -> str:
    code = str(renderers.dispatch(operation.change)(context, operation.change))
    return code.replace("op.alter_column(", f"op.{operation.word}(", 1)
