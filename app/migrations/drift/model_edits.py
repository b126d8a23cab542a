"""Edits of the models that a revision from drift needs, a line each."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, ops

from app.migrations.autogenerate import flat
from app.migrations.project import Project
from app.migrations.snapshots import NAME, PARTS, Difference, kind_of, own_name, owner_of

_IMPORTED = {"datetime": "dt.datetime", "date": "dt.date", "time": "dt.time", "UUID": "uuid.UUID"}


def model_edits(
    project: Project, differences: Iterable[Difference], operations: Iterable[MigrateOperation]
) -> list[str]:
    """Returns a line for each difference: the model and its file, and the edit."""
    code = dict(pair for operation in flat(operations) for pair in _code_of(operation))
    lines = []
    for difference in differences:
        if kind_of(difference.name) in ("table", *PARTS):
            place = _model_of(project, owner_of(difference.name)) or _model_of(project, str(difference.found))
            added = code.get(difference.name) if difference.found is None else None
            lines.append(f"{place or 'a new model'}: {f'add {added}' if added else _edit(difference)}")
    return lines


def _model_of(project: Project, table: str) -> str | None:
    for mapper in project.base().registry.mappers:
        if isinstance(mapper.local_table, sa.Table) and mapper.local_table.name == table:
            return f"{mapper.class_.__name__} in {mapper.class_.__module__.replace('.', '/')}.py"
    return None


def _edit(difference: Difference) -> str:
    """Returns the edit in words; `expected` is what the database has."""
    kind = kind_of(difference.name)
    if difference.attribute == NAME:
        return f"the {kind} {difference.found} is called {difference.expected}"
    if difference.attribute:
        return f"{kind} {own_name(difference.name)}: {difference.attribute} {difference.expected!r}"
    if difference.expected is None:
        return f"remove {kind} {own_name(difference.name)}"
    return f"add {kind} {own_name(difference.name)} {difference.expected.get('definition', '')}".rstrip()


def _code_of(operation: MigrateOperation) -> Iterable[tuple[str, str]]:
    """Returns the code of a new column or index, with its name."""
    if isinstance(operation, ops.AddColumnOp):
        yield f"column {operation.table_name}.{operation.column.name}", _mapped_column(operation.column)
    if isinstance(operation, ops.CreateIndexOp):
        parts = ", ".join(repr(str(part)) for part in [operation.index_name, *operation.columns])
        unique = ", unique=True" if operation.unique else ""
        yield f"index {operation.table_name}.{operation.index_name}", f"sa.Index({parts}{unique})"


def _mapped_column(column: sa.Column[Any]) -> str:
    kind = column.type.as_generic(allow_nulltype=True)
    try:
        python = kind.python_type.__name__
    except NotImplementedError:  # a type of PostgreSQL's own, such as TSVECTOR
        python = "Any"
    annotation = _IMPORTED.get(python, python) + (" | None" if column.nullable else "")
    parts = [f"sa.{kind!r}"]
    default = getattr(column.server_default, "arg", None)
    parts += [f"server_default=sa.text({str(getattr(default, 'text', default))!r})"] if default is not None else []
    parts += [f"comment={column.comment!r}"] if column.comment else []
    return f"{column.name}: Mapped[{annotation}] = mapped_column({', '.join(parts)})"
