"""PostgreSQL's statements, read by PostgreSQL's own grammar.

`postgast` is PostgreSQL's parser as a library, and this package the only place that knows it.
"""

import re
from collections.abc import Iterator
from typing import Any

from app.migrations.sql import plpgsql
from app.migrations.sql.effects import Effect, Kind
from app.migrations.sql.postgresql_nodes import HANDLERS, NESTED

_BIND = re.compile(r"%\(\w+\)[sb]|%[sb]")


def effects_of(statement: str) -> list[Effect]:
    """The effects of a statement in the words of the driver: `%(name)s` for a value."""
    text = _without_binds(statement)
    parsed = _parsed(text)
    if parsed is None:
        return [Effect(Kind.OPAQUE, "SQL that PostgreSQL's grammar doesn't know")]
    return [effect for raw in parsed.stmts for effect in _of_node(raw.stmt, _own_text(raw, text))]


def effects_of_function(text: str, name: str) -> list[Effect]:
    """The effects of a call of the function that this statement creates."""
    return plpgsql.of_function(text, name, effects_of)


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
    # Nor may a question be asked that has an effect: WITH … DELETE, SELECT … INTO. A call is one only if it says so.
    return all(effect.kind is Kind.CALL for effect in _nested(node, ""))


def _parsed(text: str) -> Any | None:
    import postgast

    if "\x00" in text:  # where the parser would stop
        return None
    try:
        return postgast.parse(text)
    except (postgast.PgQueryError, UnicodeEncodeError):
        return None


def _own_text(raw: Any, text: str) -> str:
    start = raw.stmt_location
    return text.encode()[start : start + raw.stmt_len if raw.stmt_len else None].decode()


def _without_binds(statement: str) -> str:
    return _BIND.sub("NULL", statement).replace("%%", "%")


def _of_node(statement: Any, text: str) -> Iterator[Effect]:

    kind = statement.WhichOneof("node")
    node = getattr(statement, kind)
    handler = HANDLERS.get(kind)
    if handler is not None:
        yield from handler(node)
    elif kind in _DEFINES:
        name = node.funcname[-1].string.sval if kind == "create_function_stmt" else "trigger"
        yield Effect(Kind.DEFINE, name, using=text if kind == "create_function_stmt" else "")
    elif kind == "do_stmt":
        languages = [arg.def_elem.arg.string.sval for arg in node.args if arg.def_elem.defname == "language"]
        if languages in ([], ["plpgsql"]):
            yield from plpgsql.of_block(text, effects_of)
        else:
            yield Effect(Kind.OPAQUE, f"DO block in {languages[0]}")
    elif kind not in _HARMLESS:
        yield Effect(Kind.OPAQUE, kind.removesuffix("_stmt").replace("_", " ").upper())
    if kind in _DEFINES or (kind == "explain_stmt" and not _analyzes(node)):
        return  # what is inside isn't done now
    yield from _nested(node, kind)


def _nested(node: Any, kind: str) -> Iterator[Effect]:
    """WITH x AS (DELETE …), f(…): the effects of what is inside a statement. CREATE TABLE … AS has told of its INTO."""
    import postgast

    for _field, inner in postgast.walk(node):
        name = type(inner).__name__
        if inner is not node and name in NESTED and not (name == "IntoClause" and kind == "create_table_as_stmt"):
            yield from NESTED[name](inner)


def _analyzes(node: Any) -> bool:
    return any(option.def_elem.defname == "analyze" for option in node.options)


_DEFINES = ("create_function_stmt", "create_trig_stmt")


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
        "create_policy_stmt",
        "create_publication_stmt",
        "create_range_stmt",
        "create_role_stmt",
        "create_schema_stmt",
        "create_seq_stmt",
        "create_stats_stmt",
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
