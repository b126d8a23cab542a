"""`op.start_rename`, `op.fill_rename`, `op.finish_rename`: another name for a column that running code uses.

    op.start_rename("users", "nick", "nickname", type_=sa.String(50))        # one revision

    with op.concurrently():                                                  # the next
        op.fill_rename("users", "nick", "nickname", type_=sa.String(50))

    op.finish_rename("users", "nick", "nickname", type_=sa.String(50))       # when no code uses the old name

On PostgreSQL both columns are there from the first step to the last, and each row has the same value under both names:
a trigger copies the one that is written. The steps and their way back are those of a change of a type. On SQLite, and
where plain operations are asked for, the third renames the column.
"""

import re
from typing import Any

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import Operations, ops

from app.migrations.operations.type_changes import FillTypeChangeOp, FinishTypeChangeOp, StartTypeChangeOp, TypeChangeOp


class _RenameOp(TypeChangeOp):
    @classmethod
    def named(
        cls,
        operations: Operations,
        table: str,
        column: str,
        new_name: str,
        *,
        type_: Any,
        nullable: bool = True,
        server_default: Any = None,
        comment: str | None = None,
    ) -> None:
        """Takes a step of a rename; the keywords say what the column has, for scripts."""
        change = ops.AlterColumnOp(
            table,
            column,
            modify_name=new_name,
            existing_type=type_,
            existing_nullable=nullable,
            existing_server_default=server_default if server_default is not None else False,
            existing_comment=comment,
        )
        operations.invoke(cls(change))


@Operations.register_operation("start_rename", "named")
class StartRenameOp(_RenameOp, StartTypeChangeOp):
    """Adds a column with the new name, and the trigger that keeps both the same."""

    word = "start_rename"


@Operations.register_operation("fill_rename", "named")
class FillRenameOp(_RenameOp, FillTypeChangeOp):
    """Fills the new column, and gives it what the old one has."""

    word = "fill_rename"


@Operations.register_operation("finish_rename", "named")
class FinishRenameOp(_RenameOp, FinishTypeChangeOp):
    """Drops the old column."""

    word = "finish_rename"


@renderers.dispatch_for(_RenameOp)
def _render(context: AutogenContext, operation: _RenameOp) -> str:
    change = operation.change
    # Only Alembic's own code of an ALTER spells types and defaults as the context asks.
    spelt = ops.AlterColumnOp(change.table_name, change.column_name, modify_type=change.existing_type)
    spelt.existing_nullable = None if change.existing_nullable else False
    spelt.existing_server_default, spelt.existing_comment = change.existing_server_default, change.existing_comment
    code = str(renderers.dispatch(spelt)(context, spelt)).partition(f"{change.column_name!r},")[2].lstrip()
    options = re.sub(r"^(\s*)existing_", r"\1", code, flags=re.MULTILINE)
    return f"op.{operation.word}({change.table_name!r}, {change.column_name!r}, {change.modify_name!r}, {options}"
