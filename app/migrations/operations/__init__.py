"""Operations: words that this package adds to `op`, and safe forms of Alembic's own on SQLite.

A revision is written once, in plain operations, and means the same on both databases.
"""

from typing import Any

from alembic.autogenerate import renderers
from alembic.operations import Operations, ops, toimpl

from app.migrations.operations.dialect_text import DialectTextOp, choose_text
from app.migrations.operations.indexes import create_index, drop_index
from app.migrations.operations.sqlite_alter import Implementation, copies_table, skipped
from app.migrations.operations.statements import StatementOp, execute_operation, render_operation
from app.migrations.operations.table_copy import TableCopies
from app.migrations.operations.triggers import CreateTriggerOp, DropTriggerOp
from app.migrations.operations.validate_constraint import ValidateConstraintOp

__all__ = ["CreateTriggerOp", "DropTriggerOp", "TableCopies", "ValidateConstraintOp"]

# The words that are added to `op`.
Operations.register_operation("create_trigger")(CreateTriggerOp)
Operations.register_operation("drop_trigger")(DropTriggerOp)
Operations.register_operation("create_trigger_function")(CreateTriggerOp)
Operations.register_operation("drop_trigger_function")(DropTriggerOp)
Operations.register_operation("validate_constraint")(ValidateConstraintOp)
Operations.register_operation("dialect_text")(DialectTextOp)
Operations.implementation_for(StatementOp)(execute_operation)
Operations.implementation_for(DialectTextOp)(choose_text)
renderers.dispatch_for(StatementOp)(render_operation)

# What Alembic's own operations do. SQLite has no ALTER for most changes, and no place for comments.
_IMPLEMENTATIONS: dict[type[Any], Implementation] = {
    ops.CreateIndexOp: create_index,
    ops.DropIndexOp: drop_index,
    ops.AlterColumnOp: copies_table(toimpl.alter_column),
    ops.AddColumnOp: copies_table(toimpl.add_column),
    ops.DropColumnOp: copies_table(toimpl.drop_column),
    ops.DropConstraintOp: copies_table(toimpl.drop_constraint),
    ops.CreateUniqueConstraintOp: copies_table(toimpl.create_constraint),
    ops.CreateCheckConstraintOp: copies_table(toimpl.create_constraint),
    ops.CreatePrimaryKeyOp: copies_table(toimpl.create_constraint),
    ops.CreateForeignKeyOp: copies_table(toimpl.create_constraint, table_of="source_table"),
    ops.CreateTableCommentOp: skipped(toimpl.create_table_comment),
    ops.DropTableCommentOp: skipped(toimpl.drop_table_comment),
}
for _operation, _implementation in _IMPLEMENTATIONS.items():
    Operations.implementation_for(_operation, replace=True)(_implementation)
