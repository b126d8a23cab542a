"""Concurrent index builds on PostgreSQL, which no transaction takes back and which can be run again."""

import sqlalchemy as sa
from alembic.operations import Operations, ops, toimpl

_INVALID_INDEX = """
SELECT 1 FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE NOT x.indisvalid AND i.relname = :name AND x.indrelid = to_regclass(:table)
"""


def create_index(operations: Operations, operation: ops.CreateIndexOp) -> None:
    """Creates an index; a concurrent build can be run again, whatever became of the last one."""
    if _concurrently(operations, operation):
        index = operation.to_index(operations.migration_context)
        assert index.table is not None
        table = operations.impl.dialect.identifier_preparer.format_table(index.table)
        found = operations.get_bind().execute(sa.text(_INVALID_INDEX), {"name": str(index.name), "table": table})
        if found.first() is not None:
            drop_index(operations, ops.DropIndexOp.from_index(index))
        operation.if_not_exists = True
    toimpl.create_index(operations, operation)


def drop_index(operations: Operations, operation: ops.DropIndexOp) -> None:
    """Drops an index; concurrently, one that may be gone already."""
    if _concurrently(operations, operation):
        operation.if_exists = True
    toimpl.drop_index(operations, operation)


def _concurrently(operations: Operations, operation: ops.CreateIndexOp | ops.DropIndexOp) -> bool:
    context = operations.get_context()
    online = context.dialect.name == "postgresql" and not context.as_sql
    return online and bool(operation.kw.get("postgresql_concurrently"))
