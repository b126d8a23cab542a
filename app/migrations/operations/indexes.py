"""Concurrent index builds on PostgreSQL, which no transaction takes back and which can be run again."""

from alembic.operations import Operations, ops, toimpl


def create_index(operations: Operations, operation: ops.CreateIndexOp) -> None:
    """Creates an index; concurrently, unless a whole one is there: `statements` drops what a killed build left."""
    if _concurrently(operations, operation):
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
