"""Reads from a statement of PostgreSQL each piece of work on a table, which others may have to wait for."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import postgast

from app.migrations.sql.postgresql import names_of, parsed, printed, table_of, word
from app.migrations.sql.type_changes import announced


@dataclass(frozen=True)
class Work:
    """A piece of work on a table.

    Attributes:
        kind: what is done, such as `create_index`; `other` for what takes a moment.
        table: the table, with its schema where one is written; empty if the statement doesn't say.
        name: the index, the constraint or the column.
        columns: the columns concerned.
        to: the new type, the condition of a CHECK, the default of a column, or the new name.
        options: `concurrently`, `not_valid`, `using_index`, `cascade`, `required`, `stored`, `counts`, `unique`,
            `refers`, `checked` or `if_exists`.
    """

    kind: str
    table: str
    name: str = ""
    columns: tuple[str, ...] = ()
    to: str = ""
    options: frozenset[str] = field(default_factory=frozenset)


def work_of(statement: str) -> list[Work] | None:
    """Returns the work of a statement, in order; None if the grammar doesn't know it."""
    tree = parsed(statement)
    if tree is None:
        return None
    whole = () if announced(statement) is None else ("drop_column", "rename_column")  # its values are in another one
    return [work for item in tree.stmts for work in _of_statement(item.stmt) if work.kind not in whole]


def functions_in(expression: str) -> set[str]:
    """Returns the functions that an expression calls."""
    tree = parsed(f"SELECT {expression}")
    nodes = [node for _field, node in postgast.walk(tree)] if tree is not None else []
    return {names_of(node.funcname)[-1] for node in nodes if type(node).__name__ == "FuncCall"}


def _of_statement(statement: Any) -> Iterable[Work]:
    kind = statement.WhichOneof("node")
    node = getattr(statement, kind)
    handler = _HANDLERS.get(kind.removesuffix("_stmt"))
    return handler(node) if handler is not None else ()


def _indexed(node: Any) -> Iterator[Work]:
    columns = tuple(item.index_elem.name for item in node.index_params)
    options = _said(concurrently=node.concurrent, unique=node.unique)
    yield Work("create_index", table_of(node.relation), node.idxname, columns, options=options)


def _dropped(node: Any) -> Iterator[Work]:
    what = word("ObjectType", node.remove_type).removeprefix("OBJECT_").lower()
    options = _said(concurrently=node.concurrent, if_exists=node.missing_ok)
    for item in node.objects:
        name = ".".join(names_of(item.list.items or item.type_name.names))
        yield Work(f"drop_{what}", name if what == "table" else "", name, options=options)


def _renamed(node: Any) -> Iterator[Work]:
    what = word("ObjectType", node.rename_type).removeprefix("OBJECT_").lower()
    if what in ("table", "column"):
        yield Work(f"rename_{what}", table_of(node.relation), node.subname, to=node.newname)


def _reindexed(node: Any) -> Iterator[Work]:
    concurrently = any(item.def_elem.defname == "concurrently" for item in node.params)
    yield Work("reindex", table_of(node.relation), "REINDEX", options=_said(concurrently=concurrently))


def _vacuumed(node: Any) -> Iterator[Work]:
    if any(item.def_elem.defname == "full" for item in node.options):
        yield from (Work("rewrite", table_of(item.vacuum_relation.relation), "VACUUM FULL") for item in node.rels)


def _each(kind: str) -> Callable[[Any], Iterable[Work]]:
    return lambda node: [Work(kind, table_of(item.range_var)) for item in node.relations]


def _rows(kind: str) -> Callable[[Any], Iterable[Work]]:
    return lambda node: [Work(kind, table_of(node.relation))]


def _altered(node: Any) -> Iterator[Work]:
    table = table_of(node.relation)
    for item in node.cmds:
        command = item.alter_table_cmd
        definition = getattr(command, "def")
        match word("AlterTableType", command.subtype):
            case "AT_AddConstraint":
                yield _constrained(table, definition.constraint)
            case "AT_ValidateConstraint":
                yield Work("validate", table, command.name)
            case "AT_SetNotNull":
                yield Work("set_not_null", table, command.name, (command.name,))
            case "AT_AlterColumnType":
                to = printed("SELECT NULL::int", partial(_with_type, definition.column_def.type_name))
                yield Work("alter_type", table, command.name, (command.name,), to.removeprefix("NULL::"))
            case "AT_AddColumn":
                yield _added(table, definition.column_def)
            case "AT_DropColumn":
                yield Work("drop_column", table, command.name, (command.name,))
            case "AT_DropConstraint":
                yield Work("drop_constraint", table, command.name, options=_said(if_exists=command.missing_ok))
            case "AT_SetLogged" | "AT_SetUnLogged" | "AT_SetTableSpace":
                yield Work("rewrite", table, "SET LOGGED or TABLESPACE")
            case "AT_AttachPartition" | "AT_DetachPartition" as change:
                yield Work(change.removeprefix("AT_").lower(), table)
            case _:
                yield Work("other", table, command.name)


def _with_type(kind: Any, value: Any) -> None:
    value.type_cast.type_name.CopyFrom(kind)


def _constrained(table: str, node: Any) -> Work:
    kind = word("ConstrType", node.contype).removeprefix("CONSTR_").lower()
    options = _said(not_valid=node.skip_validation, using_index=bool(node.indexname))
    columns = tuple(names_of(node.fk_attrs if kind == "foreign" else node.keys))
    to = ""
    if kind == "check":
        to = printed("SELECT 1", lambda value: value.CopyFrom(node.raw_expr))
    if kind == "foreign":
        to = table_of(node.pktable)
    return Work(f"add_{kind}", table, node.conname, columns, to, options)


def _added(table: str, column: Any) -> Work:
    constraints = {word("ConstrType", item.constraint.contype): item.constraint for item in column.constraints}
    default = constraints.get("CONSTR_DEFAULT")
    to = printed("SELECT 1", lambda value: value.CopyFrom(default.raw_expr)) if default is not None else ""
    serial = names_of(column.type_name.names)[-1].endswith("serial")
    options = _said(
        required=bool({"CONSTR_NOTNULL", "CONSTR_PRIMARY"} & constraints.keys()),
        stored="CONSTR_GENERATED" in constraints,
        counts=serial or "CONSTR_IDENTITY" in constraints,
        unique=bool({"CONSTR_UNIQUE", "CONSTR_PRIMARY"} & constraints.keys()),
        refers="CONSTR_FOREIGN" in constraints,
        checked="CONSTR_CHECK" in constraints,
    )
    return Work("add_column", table, column.colname, (column.colname,), to, options)


def _said(**options: bool) -> frozenset[str]:
    return frozenset(name for name, given in options.items() if given)


_HANDLERS: dict[str, Callable[[Any], Iterable[Work]]] = {
    "create": _rows("create_table"),
    "create_table_as": lambda node: [Work("create_table", table_of(node.into.rel))],
    "index": _indexed,
    "alter_table": _altered,
    "drop": _dropped,
    "rename": _renamed,
    "update": _rows("update"),
    "delete": _rows("delete"),
    "insert": _rows("insert"),
    "truncate": _each("truncate"),
    "lock": _each("lock"),
    "refresh_mat_view": lambda node: [
        Work("refresh", table_of(node.relation), "REFRESH", options=_said(concurrently=node.concurrent))
    ],
    "reindex": _reindexed,
    "cluster": lambda node: [Work("rewrite", table_of(node.relation), "CLUSTER")],
    "vacuum": _vacuumed,
    "create_trig": lambda node: [Work("create_trigger", table_of(node.relation), node.trigname)],
}
