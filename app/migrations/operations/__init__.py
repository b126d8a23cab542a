"""The words that this package adds to `op`, and those it makes safe on SQLite.

Added: `create_trigger`, `drop_trigger`, `create_trigger_function`, `drop_trigger_function`, `dialect_text`. They carry
all they do as arguments, so an old revision keeps its meaning when our code changes. A comparator, registered as an
Alembic plugin, lets autogenerate see the triggers that are declared with the models' tables.

Made safe: the operations that SQLite has no ALTER for. Each becomes Alembic's copy of the table, what the copy would
lose is kept by `rebuilds`. Comments, which SQLite has no place for, are skipped. So a revision is written once, in
plain operations, and means the same on both databases.
"""

from alembic.operations import Operations, ops, toimpl

from app.migrations.operations import indexes, sqlite_alter, validate_constraint  # noqa: F401
from app.migrations.operations.triggers import (
    CreateTriggerFunctionOp,
    CreateTriggerOp,
    DialectTextOp,
    DropTriggerFunctionOp,
    DropTriggerOp,
)

__all__ = [
    "CreateTriggerFunctionOp",
    "CreateTriggerOp",
    "DialectTextOp",
    "DropTriggerFunctionOp",
    "DropTriggerOp",
]

for _class, _implementation in (
    (ops.CreateIndexOp, indexes.create_index),
    (ops.DropIndexOp, indexes.drop_index),
    (ops.AlterColumnOp, sqlite_alter.copies_table(toimpl.alter_column)),
    (ops.AddColumnOp, sqlite_alter.copies_table(toimpl.add_column)),
    (ops.DropColumnOp, sqlite_alter.copies_table(toimpl.drop_column)),
    (ops.DropConstraintOp, sqlite_alter.copies_table(toimpl.drop_constraint)),
    (ops.CreateUniqueConstraintOp, sqlite_alter.copies_table(toimpl.create_constraint)),
    (ops.CreateCheckConstraintOp, sqlite_alter.copies_table(toimpl.create_constraint)),
    (ops.CreatePrimaryKeyOp, sqlite_alter.copies_table(toimpl.create_constraint)),
    (ops.CreateForeignKeyOp, sqlite_alter.copies_table(toimpl.create_constraint, table_of="source_table")),
    (ops.CreateTableCommentOp, sqlite_alter.skipped(toimpl.create_table_comment)),
    (ops.DropTableCommentOp, sqlite_alter.skipped(toimpl.drop_table_comment)),
):
    Operations.implementation_for(_class, replace=True)(_implementation)
