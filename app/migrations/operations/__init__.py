"""Operations: words that this package adds to `op`, and safe forms of Alembic's own on SQLite.

A revision is written once, in plain operations, and means the same on both databases.
"""

from app.migrations.operations import implementations  # noqa: F401 - registers them
from app.migrations.operations.catalog_table import PREVIEW, CatalogTable
from app.migrations.operations.concurrently import PLAIN, builds_index, execute_concurrently
from app.migrations.operations.fill_column import FillColumnOp
from app.migrations.operations.on_dialect import ExecuteOnOp
from app.migrations.operations.parents import IndexOfParent, IndexParts, add_foreign_key
from app.migrations.operations.renames import FillRenameOp, FinishRenameOp, StartRenameOp
from app.migrations.operations.statements import CreateTriggerOp, DropTriggerOp, NamedType, ValidateConstraintOp
from app.migrations.operations.table_copy import TableCopies
from app.migrations.operations.type_changes import FillTypeChangeOp, FinishTypeChangeOp, StartTypeChangeOp, TypeChangeOp

__all__ = [
    "PLAIN",
    "PREVIEW",
    "CatalogTable",
    "CreateTriggerOp",
    "DropTriggerOp",
    "ExecuteOnOp",
    "FillColumnOp",
    "FillRenameOp",
    "FillTypeChangeOp",
    "FinishRenameOp",
    "FinishTypeChangeOp",
    "IndexOfParent",
    "IndexParts",
    "NamedType",
    "StartRenameOp",
    "StartTypeChangeOp",
    "TableCopies",
    "TypeChangeOp",
    "ValidateConstraintOp",
    "add_foreign_key",
    "builds_index",
    "execute_concurrently",
]
