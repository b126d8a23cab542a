"""Names in the models that are missing, or that no database would keep as they are: refused before a comparison."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.util import PriorityDispatchResult
from sqlalchemy.dialects import postgresql

from app.migrations.errors import ConfigurationError
from app.sql_text import MOST_BYTES

_PREPARER = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]


def require_names(
    context: AutogenContext, _upgrade_ops: ops.UpgradeOps, _schemas: set[str | None]
) -> PriorityDispatchResult:
    """Reads the names of everything in the models.

    Raises:
        ConfigurationError: one is too long, a table's has a dot, or a CHECK has none that its naming convention needs.
    """
    assert isinstance(context.metadata, sa.MetaData)
    faults = [fault for table in context.metadata.sorted_tables for fault in _faults(table)]
    if faults:
        raise ConfigurationError(f"The models can't be compared: {'; '.join(dict.fromkeys(faults))}.")
    return PriorityDispatchResult.CONTINUE


def _faults(table: sa.Table) -> Iterator[str]:
    if "." in table.name:
        yield (
            f"the name of the table {table.name} has a dot, which stands between a table and its parts in messages and "
            "snapshots: give it another name, and its schema with schema='…'"
        )
    names = [("table", table.name), *(("column", column.name) for column in table.columns)]
    names += [("type", getattr(column.type, "name", None) or "") for column in table.columns]
    items: list[Any] = [*table.constraints, *table.indexes]
    for item in items:
        if item.name is None:  # the database gives it one; that of a CHECK would be compared with none
            if isinstance(item, sa.CheckConstraint) and "POSTCOMPILE" not in str(item.sqltext):
                yield f"a {_described(item)} of {table.name} has no name, by which it is compared: add name='…'"
            continue
        kind = type(item).__name__.removesuffix("Constraint").lower()
        try:
            name = _PREPARER.format_index(item) if isinstance(item, sa.Index) else _PREPARER.format_constraint(item)
        except sa.exc.IdentifierError:
            names.append((kind, str(item.name)))
        except sa.exc.InvalidRequestError:
            yield f"a {_described(item)} of {table.name} has no name, which its naming convention needs: add name='…'"
        else:
            # A revision names a CHECK once more, where it is validated: there nothing shortens the name.
            names.append((kind, str(item.name) if name and kind == "check" else name or ""))
    for kind, name in names:
        if len(name.encode()) > MOST_BYTES:
            yield (
                f"the name of the {kind} {name} of {table.name} has {len(name.encode())} bytes, and PostgreSQL keeps "
                f"{MOST_BYTES}: give it a shorter name"
            )


def _described(item: Any) -> str:
    """Describes a constraint without a name; one that comes with a type has values for a text."""
    if isinstance(item, sa.CheckConstraint):
        return "CHECK of a column's type" if "POSTCOMPILE" in str(item.sqltext) else f"CHECK ({item.sqltext})"
    return type(item).__name__
