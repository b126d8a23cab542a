"""Builds of indexes and constraints, each outside of a transaction on PostgreSQL, and in one of its own on SQLite."""

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from app import db
from app.migrations import run
from app.migrations.adopt.steps import Build, Kind
from app.migrations.guard import StatementHook
from app.migrations.operations import CatalogTable, IndexOfParent, IndexParts, add_foreign_key, execute_concurrently
from app.migrations.project import Limits
from app.migrations.run import TimeoutGuard
from app.migrations.snapshots import own_name, quote


class Builder:
    """Builds one thing at a time; each build passes over what an earlier one has done.

    Args:
        engine: the database.
        limits: how long a statement may wait for a table.
    """

    def __init__(self, engine: sa.Engine, limits: Limits) -> None:
        self._engine, self._limits = engine, limits

    def build(self, build: Build) -> None:
        """Builds it."""
        if self._engine.dialect.name == "sqlite":
            with run.transaction(self._engine) as connection:
                connection.exec_driver_sql(build.definition)
            return
        with db.connect(self._engine) as connection:
            outside = connection.execution_options(isolation_level="AUTOCOMMIT")
            timeouts = TimeoutGuard(outside, self._limits, lambda: None)  # each build can be repeated
            hook = StatementHook(outside)
            hook.guards, hook.step_at_work = [timeouts], True
            with hook.listening():
                _build(Operations(MigrationContext.configure(outside)), build)


def _build(operations: Operations, build: Build) -> None:
    table, name = CatalogTable.named(operations, build.table), own_name(build.name)
    match build.kind:
        case Kind.INDEX:
            execute_concurrently(operations, build.definition.replace(" ON ONLY ", " ON ", 1))
        case Kind.NOT_NULL:
            with operations.concurrently():  # type: ignore[attr-defined] # a word of ours
                operations.alter_column(build.table, name, nullable=False)
        case Kind.VALIDATE:
            table.alter(f"VALIDATE CONSTRAINT {quote(name)}")
        case Kind.FOREIGN_KEY:
            add_foreign_key(table, name, f"CONSTRAINT {quote(name)} {build.definition}")
        case Kind.UNIQUE if table.is_partitioned:
            parts = IndexParts.of(build.definition)
            assert parts is not None
            constraint = f"UNIQUE {build.definition.partition(' USING btree ')[2]}"
            IndexOfParent(table, parts, constraint, build.deferral).build()
        case Kind.UNIQUE:
            execute_concurrently(operations, build.definition)
            using = f"UNIQUE USING INDEX {quote(name)}{build.deferral}"
            table.alter(f"ADD CONSTRAINT {quote(name)} {using}")
