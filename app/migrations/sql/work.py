"""Reads from a statement of PostgreSQL each piece of work on a table, which others may have to wait for."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import postgast

from app.migrations.sql import work_rows
from app.migrations.sql.piece import Work, said
from app.migrations.sql.postgresql import names_of, parsed, printed, table_of, word
from app.migrations.sql.type_changes import announced
from app.sql_text import qualified

__all__ = ["Work", "columns_in", "functions_in", "texts_in", "without_null", "work_of"]


def work_of(statement: str) -> list[Work] | None:
    """Returns the work of a statement, in order; None if the grammar doesn't know it."""
    tree = parsed(statement)
    if tree is None:
        return None
    whole = () if announced(statement) is None else ("drop_column", "rename_column")  # its values are in another one
    return [work for item in tree.stmts for work in _of_statement(item.stmt) if work.kind not in whole]


def functions_in(expression: str) -> set[str]:
    """Returns the functions that an expression calls."""
    return {names_of(node.funcname)[-1] for node in _nodes(f"SELECT {expression}", "FuncCall")}


def columns_in(statement: str) -> set[str]:
    """Returns the columns that the expressions of a statement mention."""
    return {names_of(node.fields)[-1] for node in _nodes(statement, "ColumnRef")}


def texts_in(statement: str) -> set[str]:
    """Returns the literals of a statement."""
    return {node.sval.sval for node in _nodes(statement, "A_Const")} - {""}


def without_null(condition: str) -> set[str]:
    """Returns the columns that hold no NULL in a row that meets a condition."""
    tree = parsed(f"SELECT {condition}") if condition else None
    found = set[str]()
    terms = [item.res_target.val for item in tree.stmts[0].stmt.select_stmt.target_list] if tree is not None else []
    while terms:
        term = terms.pop()
        if term.bool_expr.boolop == postgast.pg_query_pb2.AND_EXPR:
            terms += term.bool_expr.args
        if term.null_test.nulltesttype == postgast.pg_query_pb2.IS_NOT_NULL:
            found |= set(names_of(term.null_test.arg.column_ref.fields))
    return found


def _nodes(statement: str, kind: str) -> Iterator[Any]:
    tree = parsed(statement)
    nodes = (node for _field, node in postgast.walk(tree)) if tree is not None else ()
    return (node for node in nodes if type(node).__name__ == kind)


def _of_statement(statement: Any) -> Iterable[Work]:
    kind = statement.WhichOneof("node")
    node = getattr(statement, kind)
    if kind == "do_stmt":
        return _of_block(node)
    handler = _HANDLERS.get(kind.removesuffix("_stmt"))
    return handler(node) if handler is not None else ()


def _of_block(node: Any) -> Iterator[Work]:
    for part in work_rows.code_in(node):
        if isinstance(part, Work):
            yield part
            continue
        text, use = part
        # A function in an expression of the block is called for its value: IF to_regclass('users') IS NULL.
        for_value = {"alone"} if use == "expression" else set()
        yield from (replace(work, options=work.options - for_value) for work in work_of(text) or ())


def _indexed(node: Any) -> Iterator[Work]:
    columns = tuple(item.index_elem.name for item in node.index_params)
    in_part = node.HasField("where_clause") or node.access_method not in ("", "btree")
    options = said(concurrently=node.concurrent, unique=node.unique, only=not node.relation.inh, in_part=in_part)
    yield Work("create_index", table_of(node.relation), node.idxname, columns, options=options)


def _dropped(node: Any) -> Iterator[Work]:
    what = word("ObjectType", node.remove_type).removeprefix("OBJECT_").lower()
    options = said(concurrently=node.concurrent, if_exists=node.missing_ok)
    for item in node.objects:
        names = names_of(item.list.items or item.type_name.names or item.object_with_args.objname)
        of_table = {"table": len(names), "trigger": -1, "policy": -1, "rule": -1}.get(what, 0)
        yield Work(f"drop_{what}", ".".join(names[:of_table]), ".".join(names[of_table:]), options=options)


def _renamed(node: Any) -> Iterator[Work]:
    what = word("ObjectType", node.rename_type).removeprefix("OBJECT_").lower()
    if what in ("table", "column"):
        yield Work(f"rename_{what}", table_of(node.relation), node.subname, to=node.newname)


def _moved(node: Any) -> Iterator[Work]:
    """Yields a table that gets another schema, which is another name for it."""
    if word("ObjectType", node.object_type) == "OBJECT_TABLE":
        to = qualified(node.newschema, node.relation.relname)
        yield Work("rename_table", table_of(node.relation), to=to)


def _reindexed(node: Any) -> Iterator[Work]:
    concurrently = any(item.def_elem.defname == "concurrently" for item in node.params)
    yield Work("reindex", table_of(node.relation), "REINDEX", options=said(concurrently=concurrently))


def _vacuumed(node: Any) -> Iterator[Work]:
    if any(item.def_elem.defname == "full" for item in node.options):
        yield from (Work("rewrite", table_of(item.vacuum_relation.relation), "VACUUM FULL") for item in node.rels)


def _table_from_query(node: Any) -> Iterator[Work]:
    yield Work("create_table", table_of(node.into.rel))
    if not node.into.skip_data:
        yield from work_rows.read_whole(node.query.select_stmt)


def _made(node: Any) -> Iterator[Work]:
    table = table_of(node.relation)
    yield Work("create_table", table)
    if node.HasField("partbound"):
        yield from (Work("create_partition", table_of(parent.range_var), to=table) for parent in node.inh_relations)


def _each(kind: str) -> Callable[[Any], Iterable[Work]]:
    return lambda node: [Work(kind, table_of(item.range_var)) for item in node.relations]


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
            case "AT_ColumnDefault" if definition.WhichOneof("node") is None:
                yield Work("drop_default", table, command.name)
            case "AT_AlterColumnType":
                yield _retyped(table, command.name, definition.column_def)
            case "AT_AddColumn":
                yield _added(table, definition.column_def)
            case change if change in _OF_COLUMN:
                yield Work(_OF_COLUMN[change], table, command.name, (command.name,))
            case "AT_DropConstraint":
                yield Work("drop_constraint", table, command.name, options=said(if_exists=command.missing_ok))
            case change if change in _OF_TABLE:
                kind, name = _OF_TABLE[change]
                yield Work(kind, table, name)
            case "AT_AlterConstraint" if _is_enforced(definition.atalter_constraint):
                yield Work("enforce", table, definition.atalter_constraint.conname)
            case "AT_AttachPartition" | "AT_DetachPartition" as change:
                yield _parted(table, change == "AT_AttachPartition", definition.partition_cmd)
            case _:
                yield Work("other", table, command.name)


def _parted(table: str, attached: bool, part: Any) -> Work:
    if attached:
        return Work("attach", table_of(part.name), to=table)
    return Work("detach", table, to=table_of(part.name), options=said(concurrently=part.concurrent))


def _is_enforced(change: Any) -> bool:
    return bool(change.alter_enforceability and change.is_enforced)


def _retyped(table: str, column: str, definition: Any) -> Work:
    to = _type(definition.type_name)
    value = definition.raw_default
    value = value.type_cast.arg if value.HasField("type_cast") else value
    options = said(computed=definition.HasField("raw_default") and not value.HasField("column_ref"))
    return Work("alter_type", table, column, (column,), to, options)


def _type(kind: Any) -> str:
    return printed("SELECT NULL::int", lambda value: value.type_cast.type_name.CopyFrom(kind)).removeprefix("NULL::")


def _constrained(table: str, node: Any) -> Work:
    kind = word("ConstrType", node.contype).removeprefix("CONSTR_").lower()
    options = said(not_valid=node.skip_validation, using_index=bool(node.indexname))
    columns = tuple(names_of(node.fk_attrs if kind == "foreign" else node.keys))
    to = ""
    if kind == "check":
        to = printed("SELECT 1", lambda value: value.CopyFrom(node.raw_expr))
    if kind == "foreign":
        to = table_of(node.pktable)
    to = to or node.indexname
    return Work(f"add_{kind}", table, node.conname, columns, to, options)


def _added(table: str, column: Any) -> Work:
    constraints = {word("ConstrType", item.constraint.contype): item.constraint for item in column.constraints}
    default = constraints.get("CONSTR_DEFAULT")
    to = printed("SELECT 1", lambda value: value.CopyFrom(default.raw_expr)) if default is not None else ""
    serial = names_of(column.type_name.names)[-1].endswith("serial")
    options = said(
        required=bool({"CONSTR_NOTNULL", "CONSTR_PRIMARY"} & constraints.keys()),
        stored="CONSTR_GENERATED" in constraints and constraints["CONSTR_GENERATED"].generated_kind != "v",
        counts=serial or "CONSTR_IDENTITY" in constraints,
        unique=bool({"CONSTR_UNIQUE", "CONSTR_PRIMARY"} & constraints.keys()),
        refers="CONSTR_FOREIGN" in constraints,
        checked="CONSTR_CHECK" in constraints,
    )
    return Work("add_column", table, column.colname, (column.colname,), to, options, _type(column.type_name))


_ROW_EXCLUSIVE = 3  # the strongest lock that lets others write
_OF_COLUMN = {
    "AT_DropColumn": "drop_column",
    "AT_SetNotNull": "set_not_null",
    "AT_DropNotNull": "drop_not_null",
    "AT_ColumnDefault": "set_default",
    "AT_AddIdentity": "set_default",
}
_OF_TABLE = {
    "AT_SetLogged": ("rewrite", "SET LOGGED"),
    "AT_SetUnLogged": ("rewrite", "SET UNLOGGED"),
    "AT_SetTableSpace": ("rewrite", "SET TABLESPACE"),
    "AT_SetAccessMethod": ("rewrite", "SET ACCESS METHOD"),
    "AT_SetExpression": ("rewrite", "SET EXPRESSION"),
    "AT_EnableRowSecurity": ("row_security", ""),
    "AT_ForceRowSecurity": ("row_security", ""),
}
_HANDLERS: dict[str, Callable[[Any], Iterable[Work]]] = {
    "create": _made,
    "create_table_as": _table_from_query,
    "index": _indexed,
    "alter_table": _altered,
    "drop": _dropped,
    "rename": _renamed,
    "alter_object_schema": _moved,
    "update": work_rows.changed,
    "delete": work_rows.changed,
    "insert": work_rows.inserted,
    "copy": work_rows.copied,
    "select": work_rows.selected,
    "view": work_rows.viewed,
    "variable_set": work_rows.set_to,
    "alter_enum": work_rows.extended,
    "create_enum": lambda node: [Work("create_type", "", qualified(*names_of(node.type_name)))],
    "create_domain": work_rows.domain,
    "call": lambda node: [Work("unreadable", "", f"procedure {qualified(*names_of(node.funccall.funcname))}")],
    "truncate": _each("truncate"),
    "lock": lambda node: [
        Work("lock", table_of(item.range_var), options=said(strong=node.mode > _ROW_EXCLUSIVE))
        for item in node.relations
    ],
    "refresh_mat_view": lambda node: [
        Work("refresh", table_of(node.relation), "REFRESH", options=said(concurrently=node.concurrent))
    ],
    "reindex": _reindexed,
    "cluster": lambda node: [Work("rewrite", table_of(node.relation), "CLUSTER")],
    "vacuum": _vacuumed,
    "create_trig": lambda node: [Work("create_trigger", table_of(node.relation), node.trigname)],
    "create_function": lambda node: [Work("create_function", "", qualified(*names_of(node.funcname)))],
    "create_policy": lambda node: [Work("create_policy", table_of(node.table), node.policy_name)],
    "grant": work_rows.revoked,
}
