"""Concurrent index builds on PostgreSQL: outside any transaction, so they must be repeatable."""

from alembic.operations import Operations, ops, toimpl


def create_index(operations: Operations, operation: ops.CreateIndexOp) -> None:
    """Creates an index; a concurrent build passes over an index that is complete."""
    if _is_concurrent(operations, operation):
        # An INVALID index of that name, left by a killed build, is dropped by the run before the statement.
        operation.if_not_exists = True
    toimpl.create_index(operations, operation)


def drop_index(operations: Operations, operation: ops.DropIndexOp) -> None:
    """Drops an index; a concurrent drop passes over an index that is gone."""
    if _is_concurrent(operations, operation):
        operation.if_exists = True
    toimpl.drop_index(operations, operation)


def _is_concurrent(operations: Operations, operation: ops.CreateIndexOp | ops.DropIndexOp) -> bool:
    context = operations.get_context()
    online = context.dialect.name == "postgresql" and not context.as_sql
    return online and bool(operation.kw.get("postgresql_concurrently"))
