"""PostgreSQL's statements, read by PostgreSQL's own grammar.

`postgast` is PostgreSQL's parser as a library, and this package the only place that knows it.
"""

import re
from collections.abc import Iterator
from typing import Any

from app.migrations.effects import Effect, Kind
from app.migrations.grammar.nodes import HANDLERS, NESTED

_BIND = re.compile(r"%\(\w+\)[sb]|%[sb]")


def effects_of(statement: str) -> list[Effect]:
    """The effects of a statement in the words of the driver: `%(name)s` for a value."""
    text = _without_binds(statement)
    parsed = _parsed(text)
    if parsed is None:
        return [Effect(Kind.OPAQUE, "SQL that PostgreSQL's grammar doesn't know")]
    return [effect for raw in parsed.stmts for effect in _of_node(raw.stmt, text)]


def reads(statement: str) -> bool:
    """Whether it is one question and nothing else, so that it may be asked; what its functions do isn't known."""
    import postgast

    parsed = _parsed(_without_binds(statement))
    if parsed is None or len(parsed.stmts) != 1:
        return False
    node = parsed.stmts[0].stmt
    match node.WhichOneof("node"):
        case "variable_show_stmt":
            return True
        case "transaction_stmt":
            kind = postgast.pg_query_pb2.TransactionStmtKind.Name(node.transaction_stmt.kind)
            return kind in ("TRANS_STMT_SAVEPOINT", "TRANS_STMT_RELEASE", "TRANS_STMT_ROLLBACK_TO")
        case "explain_stmt":
            if _analyzes(node.explain_stmt):
                return False
        case "select_stmt":
            pass
        case _:
            return False
    if any(type(found).__name__ == "String" and found.sval == "set_config" for _field, found in postgast.walk(node)):
        return False
    # Nor may a question be asked that has an effect: WITH … DELETE, SELECT … INTO, SELECT set_config(…).
    return not any(
        type(found).__name__ in NESTED and list(NESTED[type(found).__name__](found)) for _, found in postgast.walk(node)
    )


def _parsed(text: str) -> Any | None:
    import postgast

    if "\x00" in text:  # where the parser would stop
        return None
    try:
        return postgast.parse(text)
    except (postgast.PgQueryError, UnicodeEncodeError):
        return None


def _without_binds(statement: str) -> str:
    return _BIND.sub("NULL", statement).replace("%%", "%")


def _of_node(statement: Any, text: str) -> Iterator[Effect]:
    import postgast

    kind = statement.WhichOneof("node")
    node = getattr(statement, kind)
    handler = HANDLERS.get(kind)
    if handler is not None:
        yield from handler(node)
    elif kind == "do_stmt":
        languages = [arg.def_elem.arg.string.sval for arg in node.args if arg.def_elem.defname == "language"]
        if languages in ([], ["plpgsql"]):
            yield from _of_block(text)
        else:
            yield Effect(Kind.OPAQUE, f"DO block in {languages[0]}")
    elif kind not in _HARMLESS:
        yield Effect(Kind.OPAQUE, kind.removesuffix("_stmt").replace("_", " ").upper())
    if kind in _UNEXECUTED and not _analyzes(node):
        return
    # WITH x AS (DELETE …): a write inside another statement. What CREATE TABLE … AS makes, its handler has said.
    for _field, inner in postgast.walk(node):
        name = type(inner).__name__
        if inner is not node and name in NESTED and not (name == "IntoClause" and kind == "create_table_as_stmt"):
            yield from NESTED[name](inner)


def _analyzes(node: Any) -> bool:
    return any(option.def_elem.defname == "analyze" for option in node.options)


_UNEXECUTED = ("explain_stmt", "create_function_stmt")


_HARMLESS = frozenset(
    {
        "alter_database_stmt",
        "alter_database_set_stmt",
        "alter_default_privileges_stmt",
        "alter_collation_stmt",
        "alter_domain_stmt",
        "alter_enum_stmt",
        "alter_extension_stmt",
        "alter_function_stmt",
        "alter_object_depends_stmt",
        "alter_owner_stmt",
        "alter_policy_stmt",
        "alter_role_stmt",
        "alter_role_set_stmt",
        "alter_publication_stmt",
        "alter_seq_stmt",
        "alter_stats_stmt",
        "check_point_stmt",
        "close_portal_stmt",
        "cluster_stmt",
        "comment_stmt",
        "composite_type_stmt",
        "constraints_set_stmt",
        "create_cast_stmt",
        "create_domain_stmt",
        "create_extension_stmt",
        "create_function_stmt",
        "create_policy_stmt",
        "create_publication_stmt",
        "create_range_stmt",
        "create_role_stmt",
        "create_schema_stmt",
        "create_seq_stmt",
        "create_stats_stmt",
        "create_trig_stmt",
        "deallocate_stmt",
        "declare_cursor_stmt",
        "define_stmt",
        "drop_role_stmt",
        "explain_stmt",
        "fetch_stmt",
        "grant_stmt",
        "grant_role_stmt",
        "index_stmt",
        "listen_stmt",
        "lock_stmt",
        "notify_stmt",
        "refresh_mat_view_stmt",
        "reassign_owned_stmt",
        "reindex_stmt",
        "rule_stmt",
        "sec_label_stmt",
        "select_stmt",
        "transaction_stmt",
        "unlisten_stmt",
        "vacuum_stmt",
        "variable_show_stmt",
        "view_stmt",
    }
)


def _of_block(text: str) -> Iterator[Effect]:
    """The effects of the statements in a DO block, whether or not they would be reached."""
    import postgast

    try:
        functions = postgast.parse_plpgsql(text)
    except (postgast.PgQueryError, ValueError):
        yield Effect(Kind.OPAQUE, "DO block")
        return
    for found in _expressions(functions):
        if isinstance(found, str):
            yield from effects_of(found)
        else:
            yield Effect(Kind.OPAQUE, "DO block with EXECUTE")


_STATEMENT = 0  # other modes are those of expressions and assignments, which can't hold a statement that writes


def _expressions(tree: Any) -> Iterator[str | None]:
    if isinstance(tree, list):
        for item in tree:
            yield from _expressions(item)
    elif isinstance(tree, dict):
        if tree.keys() & {"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors", "dynquery"}:
            yield None
        expression = tree.get("PLpgSQL_expr", {})
        if expression.get("parseMode") == _STATEMENT:
            yield expression["query"]
        for item in tree.values():
            yield from _expressions(item)
