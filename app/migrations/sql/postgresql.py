"""PostgreSQL's statements, read by PostgreSQL's own grammar: `postgast` is its parser as a library.

Loading the parser takes time, so `Statement` imports this module late.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import postgast

from app.migrations.sql import effects, plpgsql
from app.migrations.sql.effects import Effect, Opaque
from app.sql_text import qualified

_BIND = re.compile(r"%\(\w+\)[sb]|%[sb]")
_HARMLESS = re.compile(
    r"(alter_collation|alter_database|alter_database_set|alter_default_privileges|alter_domain|alter_enum|"
    r"alter_extension|alter_function|alter_object_depends|alter_owner|alter_policy|alter_publication|"
    r"alter_role|alter_role_set|alter_seq|alter_stats|check_point|close_portal|cluster|comment|composite_type|"
    r"constraints_set|create_cast|create_domain|create_extension|create_policy|create_publication|"
    r"create_range|create_role|create_schema|create_seq|create_stats|create_table_as|deallocate|"
    r"declare_cursor|define|do|drop_role|explain|fetch|grant|grant_role|listen|lock|notify|reassign_owned|"
    r"refresh_mat_view|reindex|rule|sec_label|select|transaction|unlisten|vacuum|variable_show|view)_stmt"
)
# Parts of other statements: WITH x AS (DELETE …), SELECT … INTO, f(…).
_NESTED = {"DeleteStmt", "UpdateStmt", "MergeStmt", "InsertStmt", "IntoClause", "FuncCall"}
# What decides which table a name without a schema means.
_SEARCHED_BY = ("search_path", "role", "session_authorization")
# Functions of PostgreSQL, and of the extensions that come with it, which run whatever SQL they are given.
_TAKES_SQL = {"query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema", "ts_stat", "dblink", "dblink_exec"}


def effects_of(statement: str) -> list[Effect]:
    """Returns the effects of a statement in the words of the driver: `%(name)s` for a value."""
    tree = parsed(statement)
    if tree is None:
        return [Opaque("SQL that PostgreSQL's grammar doesn't know")]
    return [effect for item in tree.stmts for effect in _of_statement(item.stmt)]


def parsed(statement: str) -> Any:
    """Returns a statement as the grammar reads it; None if it doesn't know it."""
    # It knows no `%(name)s` of the driver; a NULL stands wherever a value may.
    text = _BIND.sub("NULL", statement).replace("%%", "%")
    try:
        return postgast.parse(text) if "\x00" not in text else None  # where the parser would stop
    except (postgast.PgQueryError, UnicodeEncodeError):
        return None


def effects_of_trigger(body: str, name: str) -> list[Effect]:
    """Returns the effects of the statements in a trigger function in PL/pgSQL, reached or not."""
    return _of_code(plpgsql.of_trigger(body), f"function {name}")


def _of_statement(statement: Any) -> Iterator[Effect]:
    kind = statement.WhichOneof("node")
    node = getattr(statement, kind)
    match kind:
        case "create_function_stmt":
            yield effects.Define(names_of(node.funcname)[-1])
            return  # the statements inside don't run now
        case "create_trig_stmt":
            yield effects.Define("trigger")
            return
        case "explain_stmt" if not any(option.def_elem.defname == "analyze" for option in node.options):
            return
        case "do_stmt":
            yield from _of_block(node)
        case _ if handler := _HANDLERS.get(type(node).__name__):
            yield from handler(node)
        case _ if not _HARMLESS.fullmatch(kind):
            yield Opaque(kind.removesuffix("_stmt").replace("_", " ").upper())
    for _field, inner in postgast.walk(node):
        if inner is not node and type(inner).__name__ in _NESTED:
            yield from _HANDLERS[type(inner).__name__](inner)


def _of_block(node: Any) -> list[Effect]:
    arguments = {argument.def_elem.defname: argument.def_elem.arg.string.sval for argument in node.args}
    language = arguments.get("language", "plpgsql")
    if language != "plpgsql":
        return [Opaque(f"DO block in {language}")]
    return _of_code(plpgsql.of_block(arguments["as"]), "DO block")


def _of_code(text: str, what: str) -> list[Effect]:
    parts = plpgsql.parts(text)
    if parts is None:
        return [Opaque(what)]
    found: list[Effect] = []
    for query, use in parts:
        if use == "execute":
            found.append(Opaque(f"{what} with EXECUTE"))
        elif use == "statement":
            found += effects_of(query)
        else:  # all it can do is call something
            found += [effect for effect in effects_of(f"SELECT {query}") if not isinstance(effect, Opaque)]
    return found


def _dropped(node: Any) -> Iterator[Effect]:
    what = word("ObjectType", node.remove_type).removeprefix("OBJECT_").lower()
    for item in node.objects:
        parts = item.list.items or item.type_name.names or item.object_with_args.objname
        name = qualified(*names_of(parts)) or qualified(item.string.sval)
        if what in ("table", "foreign_table"):
            yield effects.DropTable(name)
        elif what == "schema":
            yield effects.DropSchema(name)
        # An extension takes its own tables along whatever is said.
        if what == "extension" or (_cascades(node) and what not in ("schema", "foreign_table")):
            yield effects.Cascade(f"{what} {name}".strip())


def _altered(node: Any) -> Iterator[Effect]:
    table = table_of(node.relation)
    for item in node.cmds:
        command = item.alter_table_cmd
        column, definition = (command.name,) if command.name else (), getattr(command, "def")
        match word("AlterTableType", command.subtype):
            case "AT_DropColumn":
                yield effects.DropColumn(table, column)
            case "AT_AlterColumnType":
                yield _retyped(table, column, definition.column_def)
            case "AT_SetNotNull":
                yield effects.SetNotNull(table, column)
            case "AT_AddColumn":
                yield _added(table, definition.column_def)
            case "AT_AddConstraint":
                yield from _constrained(table, definition.constraint)
            case "AT_ValidateConstraint":
                yield effects.Validate(table, constraint=command.name)
            case "AT_DetachPartition":  # FINALIZE only completes what has begun
                yield effects.DetachPartition(table_of(definition.partition_cmd.name), to=table)
            case "AT_DropInherit":
                yield effects.DetachPartition(table, to=table_of(definition.range_var))


def _retyped(table: str, column: tuple[str, ...], definition: Any) -> Effect:
    using = ""
    if definition.HasField("raw_default"):
        using = printed("SELECT 1", lambda value: value.CopyFrom(definition.raw_default))
    to = printed("SELECT NULL::int", lambda value: value.type_cast.type_name.CopyFrom(definition.type_name))
    return effects.AlterType(table, column, to=to.removeprefix("NULL::"), using=using)


def printed(statement: str, fill: Callable[[Any], object]) -> str:
    """Returns an expression or a type as SQL; only statements can be printed, so a SELECT carries it."""
    carrier = postgast.parse(statement)
    fill(carrier.stmts[0].stmt.select_stmt.target_list[0].res_target.val)
    return str(postgast.deparse(carrier)).removeprefix("SELECT ")


def _added(table: str, definition: Any) -> Effect:
    kinds = {word("ConstrType", item.constraint.contype) for item in definition.constraints}
    serial = names_of(definition.type_name.names)[-1].endswith("serial")
    filled = serial or kinds & {"CONSTR_DEFAULT", "CONSTR_IDENTITY", "CONSTR_GENERATED"}
    required = bool(kinds & {"CONSTR_NOTNULL", "CONSTR_PRIMARY"}) and not filled
    return effects.AddColumn(table, (definition.colname,), required=required)


def _constrained(table: str, node: Any) -> Iterator[Effect]:
    kind, columns = word("ConstrType", node.contype), tuple(names_of(node.keys))
    if (kind == "CONSTR_PRIMARY" and not node.indexname) or (kind == "CONSTR_NOTNULL" and not node.skip_validation):
        yield from (effects.SetNotNull(table, (column,)) for column in columns)
    if kind in ("CONSTR_UNIQUE", "CONSTR_PRIMARY") and not node.indexname:
        yield effects.AddUnique(table, columns)
    named = {"constraint": node.conname, "checked": not node.skip_validation}
    if kind == "CONSTR_FOREIGN":
        referred = tuple(names_of(node.pk_attrs))
        yield effects.AddForeignKey(
            table, tuple(names_of(node.fk_attrs)), to=table_of(node.pktable), referred=referred, **named
        )
    if kind == "CONSTR_CHECK":
        condition = printed("SELECT 1", lambda value: value.CopyFrom(node.raw_expr))
        yield effects.AddCheck(table, to=condition, **named)


def _renamed(node: Any) -> Iterator[Effect]:
    match word("ObjectType", node.rename_type):
        case "OBJECT_TABLE":
            yield effects.RenameTable(table_of(node.relation), to=(node.newname,))
        case "OBJECT_COLUMN":
            yield effects.RenameColumn(table_of(node.relation), (node.subname,), to=node.newname)


def _moved(node: Any) -> Iterator[Effect]:
    if word("ObjectType", node.object_type) == "OBJECT_TABLE":
        yield effects.RenameTable(table_of(node.relation), to=(node.newschema, node.relation.relname))


def _truncated(node: Any) -> Iterator[Effect]:
    for item in node.relations:
        table = table_of(item.range_var)
        yield effects.Truncate(table, only=not item.range_var.inh)
        if _cascades(node):
            yield effects.Cascade(f"truncate {table}")


def _written(node: Any) -> Iterator[Effect]:
    if not node.HasField("relation"):  # COPY (SELECT …) TO
        return
    verb, table = type(node).__name__.removesuffix("Stmt").upper(), table_of(node.relation)
    # In one of PostgreSQL's own tables a row is a column, or a value of an enumeration.
    catalog = node.relation.schemaname in ("pg_catalog", "information_schema") or (
        not node.relation.schemaname and node.relation.relname.startswith("pg_")
    )
    if catalog or verb == "MERGE":
        words = {"DELETE": "DELETE FROM", "UPDATE": "UPDATE"}
        yield Opaque(f"{words.get(verb, 'INSERT INTO' if verb == 'COPY' else f'{verb} INTO')} {table}")
    elif verb in ("INSERT", "COPY"):
        yield effects.Fill(table)
    elif verb == "DELETE":
        yield effects.Delete(table, only=not node.relation.inh, whole=_whole(node))
    else:
        columns = tuple(item.res_target.name for item in node.target_list)
        yield effects.Update(table, columns, only=not node.relation.inh, whole=_whole(node))


def _whole(node: Any) -> bool:
    """Returns whether there is no WHERE, or one that is the same for every row: `WHERE true`."""
    by_row = {"ColumnRef", "SubLink", "CurrentOfExpr"}
    return not node.HasField("where_clause") or not any(
        type(inner).__name__ in by_row for _field, inner in postgast.walk(node.where_clause)
    )


def _indexed(node: Any) -> Iterator[Effect]:
    if node.unique:
        columns = tuple(item.index_elem.name for item in node.index_params)
        whole = all(columns) and not node.HasField("where_clause")
        yield effects.AddUnique(table_of(node.relation), columns if all(columns) else (), whole=whole)


def _new_table(relation: Any, on_commit: int) -> Effect:
    if relation.relpersistence != "t":
        return effects.CreateTable(table_of(relation))
    until_commit = word("OnCommitAction", on_commit) == "ONCOMMIT_DROP"
    return effects.CreateTable(qualified(relation.relname), temporary=True, until_commit=until_commit)


def _set(node: Any) -> Iterator[Effect]:
    if node.name in _SEARCHED_BY or word("VariableSetKind", node.kind) == "VAR_RESET_ALL":
        yield effects.SetPath(f"SET {node.name}" if node.name else "RESET ALL")


def _called(node: Any) -> Iterator[Effect]:
    names = names_of(node.funcname)
    if names[-1] == "set_config":
        if not node.args or node.args[0].a_const.sval.sval.lower() in ("", *_SEARCHED_BY):
            yield effects.SetPath("set_config")
    elif names[-1] in _TAKES_SQL:
        yield Opaque(f"{names[-1]}()")
    elif names[0] != "pg_catalog":
        yield effects.Call(qualified(*names))


def word(enum: str, number: int) -> str:
    """Returns the name of a value of one of the grammar's enumerations."""
    return str(getattr(postgast.pg_query_pb2, enum).Name(number))


def table_of(relation: Any) -> str:
    """Returns the name of a table, with its schema where one is written."""
    return qualified(relation.schemaname, relation.relname)


def names_of(parts: Any) -> list[str]:
    """Returns the parts of a name, or several names."""
    return [part.string.sval for part in parts]


def _cascades(node: Any) -> bool:
    return word("DropBehavior", node.behavior) == "DROP_CASCADE"


_HANDLERS: dict[str, Callable[[Any], Iterable[Effect]]] = {
    "AlterObjectSchemaStmt": _moved,
    "AlterTableStmt": _altered,
    "CopyStmt": _written,
    "CreateEnumStmt": lambda node: [
        effects.CreateEnum(qualified(*names_of(node.type_name)), labels=(*names_of(node.vals),))
    ],
    "CreateStmt": lambda node: [_new_table(node.relation, node.oncommit)],
    "DeleteStmt": _written,
    "DiscardStmt": lambda _: [effects.SetPath("DISCARD")],
    "DropStmt": _dropped,
    "FuncCall": _called,
    "IndexStmt": _indexed,
    "InsertStmt": _written,
    "IntoClause": lambda node: [_new_table(node.rel, node.on_commit), effects.Fill(table_of(node.rel))],
    "MergeStmt": _written,
    "RenameStmt": _renamed,
    "TruncateStmt": _truncated,
    "UpdateStmt": _written,
    "VariableSetStmt": _set,
}
