"""What each kind of statement does, as PostgreSQL's parser has taken it apart."""

from collections.abc import Iterator
from typing import Any

from app.migrations.sql.effects import FLEETING, ONLY, TEMPORARY, Effect, Kind, qualified


def _table(node: Any) -> str:
    return qualified(node.schemaname, node.relname)


def _dropped(node: Any) -> Iterator[Effect]:
    import postgast

    what = postgast.pg_query_pb2.ObjectType.Name(node.remove_type).removeprefix("OBJECT_").lower()
    cascade = node.behavior == postgast.pg_query_pb2.DropBehavior.DROP_CASCADE
    for item in node.objects:
        parts = item.list.items or item.type_name.names or item.object_with_args.objname
        names = [part.string.sval for part in parts]
        name = qualified(*names) or qualified(item.string.sval)
        if what in ("table", "foreign_table"):
            yield Effect(Kind.DROP_TABLE, name)
        elif what == "schema":
            yield Effect(Kind.DROP_SCHEMA, name)
        # An extension takes its own tables along whatever is said.
        if what == "extension" or (cascade and what not in ("schema", "foreign_table")):
            yield Effect(Kind.CASCADE, f"{what} {name}".strip())


def _altered(node: Any) -> Iterator[Effect]:
    import postgast

    types = postgast.pg_query_pb2
    for item in node.cmds:
        command = item.alter_table_cmd
        table, column = _table(node.relation), (command.name,) if command.name else ()
        match types.AlterTableType.Name(command.subtype):
            case "AT_DropColumn":
                yield Effect(Kind.DROP_COLUMN, table, column)
            case "AT_AlterColumnType":
                definition = command.definition if hasattr(command, "definition") else getattr(command, "def")
                yield _retyped(table, column, definition.column_def)
            case "AT_SetNotNull":
                yield Effect(Kind.SET_NOT_NULL, table, column)
            case "AT_AddColumn":
                yield _added(table, getattr(command, "def").column_def)
            case "AT_AddConstraint":
                yield from _constrained(table, getattr(command, "def").constraint)


def _retyped(table: str, column: tuple[str, ...], definition: Any) -> Effect:
    using = _deparsed_expression(definition.raw_default) if definition.HasField("raw_default") else ""
    return Effect(Kind.ALTER_TYPE, table, column, to=(_deparsed_type(definition.type_name),), using=using)


def _added(table: str, definition: Any) -> Effect:
    import postgast

    kinds = {postgast.pg_query_pb2.ConstrType.Name(item.constraint.contype) for item in definition.constraints}
    types = [part.string.sval for part in definition.type_name.names]
    filled = kinds & {"CONSTR_DEFAULT", "CONSTR_IDENTITY", "CONSTR_GENERATED"} or types[-1].endswith("serial")
    required = kinds & {"CONSTR_NOTNULL", "CONSTR_PRIMARY"} and not filled
    return Effect(Kind.ADD_COLUMN, table, (definition.colname,), to=("required",) if required else ())


def _constrained(table: str, node: Any) -> Iterator[Effect]:
    import postgast

    kind = postgast.pg_query_pb2.ConstrType.Name(node.contype)
    if kind in ("CONSTR_UNIQUE", "CONSTR_PRIMARY") and not node.indexname:
        columns = tuple(key.string.sval for key in node.keys)
        if kind == "CONSTR_PRIMARY":
            yield from (Effect(Kind.SET_NOT_NULL, table, (column,)) for column in columns)
        yield Effect(Kind.ADD_UNIQUE, table, columns)
    elif kind == "CONSTR_NOTNULL" and not node.skip_validation:
        yield from (Effect(Kind.SET_NOT_NULL, table, (key.string.sval,)) for key in node.keys)


def _renamed(node: Any) -> Iterator[Effect]:
    import postgast

    kind = postgast.pg_query_pb2.ObjectType.Name(node.rename_type)
    if kind == "OBJECT_TABLE":
        yield Effect(Kind.RENAME_TABLE, _table(node.relation), to=(node.newname,))
    elif kind == "OBJECT_COLUMN":
        yield Effect(Kind.RENAME_COLUMN, _table(node.relation), (node.subname,), to=(node.newname,))


def _moved(node: Any) -> Iterator[Effect]:
    import postgast

    if postgast.pg_query_pb2.ObjectType.Name(node.object_type) == "OBJECT_TABLE":
        yield Effect(Kind.RENAME_TABLE, _table(node.relation), to=(node.newschema, node.relation.relname))


def _truncated(node: Any) -> Iterator[Effect]:
    import postgast

    cascade = node.behavior == postgast.pg_query_pb2.DropBehavior.DROP_CASCADE
    for item in node.relations:
        yield Effect(Kind.TRUNCATE, _table(item.range_var), to=_alone(item.range_var))
        if cascade:
            yield Effect(Kind.CASCADE, f"truncate {_table(item.range_var)}")


def _deleted(node: Any) -> Iterator[Effect]:
    if _is_catalog(node.relation):
        yield Effect(Kind.OPAQUE, f"DELETE FROM {_table(node.relation)}")
    else:
        yield Effect(Kind.DELETE, _table(node.relation), to=_alone(node.relation), whole=_whole(node))


def _updated(node: Any) -> Iterator[Effect]:
    columns = tuple(item.res_target.name for item in node.target_list)
    if _is_catalog(node.relation):
        yield Effect(Kind.OPAQUE, f"UPDATE {_table(node.relation)}")
    else:
        yield Effect(Kind.UPDATE, _table(node.relation), columns, to=_alone(node.relation), whole=_whole(node))


def _alone(relation: Any) -> tuple[str, ...]:
    return () if relation.inh else (ONLY,)


def _is_catalog(relation: Any) -> bool:
    """Whether it is one of PostgreSQL's own tables, where a row is a column, or a value of an enumeration."""
    return relation.schemaname in ("pg_catalog", "information_schema") or (
        not relation.schemaname and relation.relname.startswith("pg_")
    )


def _whole(node: Any) -> bool:
    """Whether it has no WHERE, or one that is the same for every row: `WHERE true`."""
    import postgast

    if not node.HasField("where_clause"):
        return True
    by_row = {"ColumnRef", "SubLink", "CurrentOfExpr"}
    return not any(type(found).__name__ in by_row for _field, found in postgast.walk(node.where_clause))


def _merged(node: Any) -> Iterator[Effect]:
    yield Effect(Kind.OPAQUE, f"MERGE INTO {_table(node.relation)}")


def _indexed(node: Any) -> Iterator[Effect]:
    if node.unique:
        columns = tuple(item.index_elem.name for item in node.index_params)
        plain = all(columns) and not node.HasField("where_clause")
        yield Effect(Kind.ADD_UNIQUE, _table(node.relation), columns if all(columns) else (), whole=plain)


def _created(node: Any) -> Iterator[Effect]:
    yield _made(node.relation, node.oncommit)


def _created_as(node: Any) -> Iterator[Effect]:
    yield from _into(node.into)


def _into(node: Any) -> Iterator[Effect]:
    """CREATE TABLE … AS, and SELECT … INTO."""
    yield _made(node.rel, node.on_commit)
    yield Effect(Kind.FILL, _table(node.rel))


def _made(relation: Any, on_commit: int) -> Effect:
    import postgast

    if relation.relpersistence != "t":
        return Effect(Kind.CREATE_TABLE, _table(relation))
    fleeting = postgast.pg_query_pb2.OnCommitAction.Name(on_commit) == "ONCOMMIT_DROP"
    return Effect(Kind.CREATE_TABLE, qualified(relation.relname), to=(FLEETING if fleeting else TEMPORARY,))


def _created_enum(node: Any) -> Iterator[Effect]:
    name = qualified(*(part.string.sval for part in node.type_name))
    yield Effect(Kind.CREATE_ENUM, name, to=tuple(value.string.sval for value in node.vals))


def _filled(node: Any) -> Iterator[Effect]:
    if node.HasField("relation") and _is_catalog(node.relation):
        yield Effect(Kind.OPAQUE, f"INSERT INTO {_table(node.relation)}")
    elif node.HasField("relation"):
        yield Effect(Kind.FILL, _table(node.relation))


def _set(node: Any) -> Iterator[Effect]:
    import postgast

    kind = postgast.pg_query_pb2.VariableSetKind.Name(node.kind)
    if kind == "VAR_RESET_ALL" or node.name in SEARCHED_BY:
        yield Effect(Kind.SET_PATH, f"SET {node.name}" if node.name else "RESET ALL")


def _discarded(_node: Any) -> Iterator[Effect]:
    yield Effect(Kind.SET_PATH, "DISCARD")


def _called(node: Any) -> Iterator[Effect]:
    name = node.funcname[-1].string.sval
    if name == "set_config":
        if not node.args or node.args[0].a_const.sval.sval.lower() in ("", *SEARCHED_BY):
            yield Effect(Kind.SET_PATH, "set_config")
    elif name in _TAKES_SQL:
        yield Effect(Kind.OPAQUE, f"{name}()")
    elif node.funcname[0].string.sval != "pg_catalog":
        yield Effect(Kind.CALL, qualified(*(part.string.sval for part in node.funcname)))


# What decides which table a name without a schema means.
SEARCHED_BY = ("search_path", "role", "session_authorization")
# Functions of PostgreSQL, and of the extensions that come with it, which run whatever SQL they are given.
_TAKES_SQL = {"query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema", "ts_stat", "dblink", "dblink_exec"}
HANDLERS = {
    "drop_stmt": _dropped,
    "alter_table_stmt": _altered,
    "rename_stmt": _renamed,
    "truncate_stmt": _truncated,
    "delete_stmt": _deleted,
    "update_stmt": _updated,
    "merge_stmt": _merged,
    "index_stmt": _indexed,
    "create_stmt": _created,
    "create_table_as_stmt": _created_as,
    "create_enum_stmt": _created_enum,
    "alter_object_schema_stmt": _moved,
    "variable_set_stmt": _set,
    "discard_stmt": _discarded,
    "insert_stmt": _filled,
    "copy_stmt": _filled,
}
NESTED = {
    "DeleteStmt": _deleted,
    "UpdateStmt": _updated,
    "MergeStmt": _merged,
    "InsertStmt": _filled,
    "IntoClause": _into,
    "FuncCall": _called,
}


def _deparsed_type(node: Any) -> str:
    """A type as SQL text: the grammar deparses statements only, so a cast carries it."""
    import postgast

    carrier = postgast.parse("SELECT NULL::int")
    carrier.stmts[0].stmt.select_stmt.target_list[0].res_target.val.type_cast.type_name.CopyFrom(node)
    return str(postgast.deparse(carrier)).removeprefix("SELECT NULL::")


def _deparsed_expression(node: Any) -> str:
    import postgast

    carrier = postgast.parse("SELECT 1")
    carrier.stmts[0].stmt.select_stmt.target_list[0].res_target.val.CopyFrom(node)
    return str(postgast.deparse(carrier)).removeprefix("SELECT ")
