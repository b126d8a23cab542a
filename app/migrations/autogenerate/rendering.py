"""The code of types, defaults, checks and indexes: plain SQLAlchemy, without an import of the models."""

import re
from typing import Any, Literal

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.util import sqla_compat

from app.migrations.autogenerate.expressions import DIALECTS, code_of, texts_of
from app.migrations.autogenerate.type_code import code_of_type

_CAST = re.compile(r"('(?:[^']|'')*')::[\w ]+(?:\(\d+\))?")


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Returns the code of a part of a revision; False leaves it to Alembic. Alembic's option of that name."""
    match kind:
        case "server_default":
            return _render_default(item)
        case "check":
            return _render_check(item)
        case "primary_key":
            return _render_key(item)
        case "type":
            return code_of_type(item, context) or False
    return False


def _render_default(item: Any) -> str | Literal[False]:
    if isinstance(item, sa.Computed):
        kept = f", persisted={item.persisted}" if item.persisted is not None else ""
        return f"sa.Computed({code_of(texts_of(item.sqltext), plain=True)}{kept})"
    if isinstance(item, sa.Identity | sa.Sequence) or item is None:
        return False
    default = getattr(item, "arg", item)
    if isinstance(default, str):
        return repr(default)
    if isinstance(default, sa.TextClause):
        # A revision from drift has the inspector's text, to which only PostgreSQL adds the type of a literal.
        plain = _CAST.fullmatch(default.text)
        return f"sa.text({(plain[1] if plain else default.text)!r})"
    if isinstance(default, sa.ClauseElement):
        return code_of(texts_of(default))
    return False


def _render_check(item: sa.CheckConstraint) -> str | Literal[False]:
    if sqla_compat._is_type_bound(item):  # noqa: SLF001 - as Alembic does; the table has another one in its place
        return False
    name = sqla_compat._get_constraint_final_name(item, DIALECTS["postgresql"])  # noqa: SLF001 - as Alembic does
    options = f", name=op.f({str(name)!r})" if name else ""
    options += f", comment={item.comment!r}" if item.comment else ""
    code = f"sa.CheckConstraint({code_of(texts_of(item.sqltext), plain=True)}{options})"
    only = item.info.get("only")
    return f"{code}.ddl_if(dialect={only!r})" if only else code


def _render_key(item: sa.PrimaryKeyConstraint) -> str | Literal[False]:
    if not (item.deferrable or item.initially):
        return False
    name = sqla_compat._get_constraint_final_name(item, DIALECTS["postgresql"])  # noqa: SLF001 - as Alembic does
    parts = [*(repr(str(column.name)) for column in item.columns), *([f"name=op.f({str(name)!r})"] if name else [])]
    options = {"deferrable": item.deferrable, "initially": item.initially}
    parts += [f"{option}={value!r}" for option, value in options.items() if value is not None]
    return f"sa.PrimaryKeyConstraint({', '.join(parts)})"


def only_on(item: sa.CheckConstraint) -> str:
    """Returns the one database that a CHECK is for, such as that of a Boolean; empty if both have it."""
    if not sqla_compat._is_type_bound(item):  # noqa: SLF001 - as Alembic does
        return ""
    types = [column.type for column in item.columns]
    native = any(isinstance(t, sa.Boolean) or (isinstance(t, sa.Enum) and t.native_enum) for t in types)
    return "sqlite" if native else ""


@renderers.dispatch_for(ops.CreateCheckConstraintOp, replace=True)
def _render_create_check(_context: AutogenContext, operation: ops.CreateCheckConstraintOp) -> str:
    name = operation.constraint_name
    called = f"op.f({str(name)!r})" if name else "None"
    text = code_of(texts_of(operation.condition), plain=True)
    schema = f", schema={operation.schema!r}" if operation.schema else ""
    options = "".join(f", {key}={value!r}" for key, value in operation.kw.items() if key.startswith("postgresql_"))
    return f"op.create_check_constraint({called}, {str(operation.table_name)!r}, {text}{schema}{options})"


@renderers.dispatch_for(ops.CreatePrimaryKeyOp, replace=True)
def _render_create_key(_context: AutogenContext, operation: ops.CreatePrimaryKeyOp) -> str:
    name, columns = str(operation.constraint_name), [str(column) for column in operation.columns]
    return f"op.create_primary_key(op.f({name!r}), {str(operation.table_name)!r}, {columns!r})"


@renderers.dispatch_for(ops.CreateIndexOp, replace=True)
def _render_create_index(_context: AutogenContext, operation: ops.CreateIndexOp) -> str:
    index = operation.to_index()
    parts = ", ".join(map(_part_of_index, index.expressions))
    name = f"op.f({str(operation.index_name)!r})" if isinstance(operation.index_name, sa.schema.conv) else None
    name = name or repr(str(operation.index_name))
    code = f"op.create_index({name}, {str(operation.table_name)!r}, [{parts}], unique={bool(index.unique)}"
    code += f", schema={operation.schema!r}" if operation.schema else ""
    for key, value in index.dialect_kwargs.items():
        shown = code_of(texts_of(value)) if isinstance(value, sa.ClauseElement) else repr(value)
        code += f", {key}={shown}"
    return f"{code})"


def _part_of_index(part: Any) -> str:
    if isinstance(part, sa.Column):
        return repr(str(part.name))
    label = f".label({str(part.name)!r})" if isinstance(part, sa.sql.elements.Label) else ""
    inner = part.element if label else part
    code = code_of(texts_of(inner))
    if label:
        return code.replace("sa.text(", "sa.literal_column(", 1) + label
    return code
