"""Reads the work of statements that change rows, and of those that define or set something beside a table."""

import re
from collections.abc import Iterator
from typing import Any

import postgast

from app.migrations.sql import plpgsql
from app.migrations.sql.piece import Work, said
from app.migrations.sql.postgresql import names_of, table_of, word
from app.sql_text import qualified

LIMITS = {"lock_timeout", "statement_timeout"}
_NO_LIMIT = re.compile(r"0+\s*[a-z]*", re.IGNORECASE)
_WRITES = {"UpdateStmt": "update", "DeleteStmt": "delete", "InsertStmt": "insert"}


def inserted(node: Any) -> Iterator[Work]:
    """Yields an INSERT: `unlisted` without names of columns, `starred` with another table's as they come."""
    query = node.select_stmt.select_stmt if node.HasField("select_stmt") else None
    options = said(unlisted=query is not None and not node.cols, starred=query is not None and _is_starred(query))
    yield Work("insert", table_of(node.relation), "INSERT", options=options)
    if query is not None:
        yield from read_whole(query)


def read_whole(query: Any) -> Iterator[Work]:
    """Yields the tables of a query that reads all of their rows, as far as its conditions and limits tell."""
    if query.HasField("limit_count") or (query.HasField("where_clause") and not _is_whole(query)):
        return
    for _field, inner in postgast.walk(query):
        if type(inner).__name__ == "RangeVar":
            yield Work("read", table_of(inner))


def copied(node: Any) -> Iterator[Work]:
    """Yields a COPY into a table."""
    if node.is_from:
        yield Work("insert", table_of(node.relation), "COPY", options=said(unlisted=not node.attlist))


def changed(node: Any) -> Iterator[Work]:
    """Yields an UPDATE or DELETE: `whole` if each row may be meant."""
    kind = _WRITES[type(node).__name__]
    yield Work(kind, table_of(node.relation), options=said(whole=_is_whole(node)))


def viewed(node: Any) -> Iterator[Work]:
    """Yields a new view."""
    starred = _is_starred(node.query.select_stmt)
    yield Work("create_view", "", qualified(node.view.schemaname, node.view.relname), options=said(starred=starred))


def selected(node: Any) -> Iterator[Work]:
    """Yields what a question does beside answering: calls of functions, and writing in a WITH."""
    # A function of a query inside is called for its rows: WHERE EXISTS (SELECT … FROM … WHERE upper(…) = …).
    queries = [inner for _field, inner in postgast.walk(node) if type(inner).__name__ == "SelectStmt"]
    of_rows = [call for query in queries if query.from_clause for call in _calls(query)]
    for _field, inner in postgast.walk(node):
        kind = type(inner).__name__
        if kind == "FuncCall":
            yield from _called(inner, alone=inner not in of_rows)
        elif kind in _WRITES:
            yield from (inserted if kind == "InsertStmt" else changed)(inner)


def set_to(node: Any) -> Iterator[Work]:
    """Yields a change of the run's limits: `off` where there is none any more."""
    kind = word("VariableSetKind", node.kind)
    if kind == "VAR_RESET_ALL" or node.name in LIMITS:
        value = _constant(node.args[0]) if node.args else ""
        off = kind != "VAR_SET_VALUE" or _NO_LIMIT.fullmatch(value) is not None
        yield Work("set_limit", "", node.name or "all", to=value, options=said(off=off))


def extended(node: Any) -> Iterator[Work]:
    """Yields a new value of an enumeration."""
    if node.new_val and not node.old_val:
        yield Work("add_value", "", qualified(*names_of(node.type_name)), to=node.new_val)


def domain(node: Any) -> Iterator[Work]:
    """Yields a new domain: `constrained` if it refuses values."""
    kinds = {word("ConstrType", item.constraint.contype) for item in node.constraints}
    options = said(constrained=bool(kinds & {"CONSTR_CHECK", "CONSTR_NOTNULL"}))
    yield Work("create_domain", "", qualified(*names_of(node.domainname)), options=options)


def code_in(node: Any) -> Iterator[tuple[str, plpgsql.Use] | Work]:
    """Yields the SQL of a DO block with its use; what can't be read is a piece of work."""
    arguments = {argument.def_elem.defname: argument.def_elem.arg.string.sval for argument in node.args}
    language = arguments.get("language", "plpgsql")
    parts = plpgsql.parts(plpgsql.of_block(arguments["as"])) if language == "plpgsql" else None
    if parts is None:
        yield Work("unreadable", "", f"DO block in {language}")
    for query, use in parts or ():
        if use == "execute":
            yield Work("unreadable", "", "DO block with EXECUTE")
        else:
            yield (query if use == "statement" else f"SELECT {query}"), use


def revoked(node: Any) -> Iterator[Work]:
    """Yields the tables on which a right goes."""
    if node.is_grant or word("ObjectType", node.objtype) != "OBJECT_TABLE":
        return
    for item in node.objects:
        if item.HasField("range_var"):
            yield Work("revoke", table_of(item.range_var))
        else:
            yield Work("revoke", "", f"all tables of {item.string.sval}")


def _called(call: Any, *, alone: bool) -> Iterator[Work]:
    names = names_of(call.funcname)
    if names[-1] == "set_config" and len(call.args) > 1:
        setting, value = (_constant(argument) for argument in call.args[:2])
        if setting.lower() in LIMITS:
            off = _NO_LIMIT.fullmatch(value) is not None
            yield Work("set_limit", "", setting.lower(), to=value, options=said(off=off))
    elif names[0] != "pg_catalog":
        yield Work("call", "", qualified(*names), options=said(alone=alone, qualified=len(names) > 1))


def _calls(query: Any) -> list[Any]:
    return [inner for _field, inner in postgast.walk(query) if type(inner).__name__ == "FuncCall"]


def _constant(node: Any) -> str:
    value = node.a_const
    return str(value.sval.sval or value.fval.fval or value.ival.ival)


def _is_starred(query: Any) -> bool:
    """Returns whether a query gives the columns of a table as they come."""
    if query.HasField("larg"):
        return _is_starred(query.larg) or _is_starred(query.rarg)
    fields = [item.res_target.val.column_ref.fields for item in query.target_list]
    return any(each.WhichOneof("node") == "a_star" for field in fields for each in field)


def _is_whole(node: Any) -> bool:
    """Returns whether no condition names a value: there is none, it asks for NULLs only, or it compares columns."""
    if not node.HasField("where_clause"):
        return True
    kinds = [type(inner).__name__ for _field, inner in postgast.walk(node.where_clause)]
    if not {"ColumnRef", "SubLink", "CurrentOfExpr"}.intersection(kinds):
        return True
    if {"SubLink", "CurrentOfExpr"}.intersection(kinds):
        return False
    return "A_Const" not in kinds if "A_Expr" in kinds else kinds.count("ColumnRef") == kinds.count("NullTest")
