"""What the code inside PostgreSQL does: DO blocks, functions, triggers in SQL and PL/pgSQL."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from app.migrations.sql.effects import Effect, Kind

Reader = Callable[[str], list[Effect]]

_STATEMENT = 0  # the parser's word; other modes are those of expressions and assignments
_EXPRESSION = 2
# What a trigger function may speak of; its own form the parser can't print.
_TRIGGER = """\
CREATE FUNCTION trigger() RETURNS record LANGUAGE plpgsql AS $trigger_body$
DECLARE new record; old record; tg_op text; tg_name text; tg_when text; tg_level text; tg_relid oid; tg_relname text;
    tg_table_name text; tg_table_schema text; tg_nargs integer; tg_argv text[];
BEGIN {body}; END $trigger_body$"""


def of_block(text: str, read: Reader) -> list[Effect]:
    """The effects of the statements in a DO block, whether or not they would be reached."""
    return _of_plpgsql(text, "DO block", read)


def of_function(text: str, name: str, read: Reader) -> list[Effect]:
    """The effects of a call, if `text` is the CREATE FUNCTION.

    Args:
        text: the statement.
        name: for people.
        read: gives the effects of a statement.
    """
    import postgast

    node = postgast.parse(text).stmts[0].stmt.create_function_stmt
    options = {option.def_elem.defname: option.def_elem.arg for option in node.options}
    language = options["language"].string.sval.lower() if "language" in options else "sql"
    bodies = [item.string.sval for item in options["as"].list.items] if "as" in options else []
    if language in ("c", "internal"):
        return []
    if language not in ("sql", "plpgsql"):
        return [Effect(Kind.OPAQUE, f"function {name} in {language}")]
    if language == "sql":
        return read(bodies[0]) if bodies else read(_atomic(text))
    types = [part.string.sval for part in node.return_type.names]
    if types and types[-1] == "trigger":
        body = re.sub(r"[\s;]+\Z", "", bodies[0])
        text = _TRIGGER.format(body=body)
    return _of_plpgsql(text, f"function {name}", read)


def _atomic(text: str) -> str:
    """The statements of a body in the words of the standard: BEGIN ATOMIC … END, or RETURN."""
    if found := re.search(r"\bBEGIN\s+ATOMIC\b(.*)\bEND\b", text, re.IGNORECASE | re.DOTALL):
        return found[1]
    returned = re.search(r"\bRETURN\b(.*)", text, re.IGNORECASE | re.DOTALL)
    return f"SELECT {returned[1]}" if returned else ""


def _of_plpgsql(text: str, what: str, read: Reader) -> list[Effect]:
    import postgast

    try:
        functions = postgast.parse_plpgsql(text)
    except (postgast.PgQueryError, ValueError):
        return [Effect(Kind.OPAQUE, what)]
    found: list[Effect] = []
    for mode, query in _queries(functions):
        if mode is None:
            found.append(Effect(Kind.OPAQUE, f"{what} with EXECUTE"))
        elif mode == _STATEMENT:
            found += read(query)
        else:  # no statement, so all it can do is call something
            value = query if mode == _EXPRESSION else re.split(r":?=", query, maxsplit=1)[-1]
            found += [effect for effect in read(f"SELECT {value}") if effect.kind is not Kind.OPAQUE]
    return found


def _queries(tree: Any) -> Iterator[tuple[int | None, str]]:
    if isinstance(tree, list):
        for item in tree:
            yield from _queries(item)
    elif isinstance(tree, dict):
        if tree.keys() & {"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors", "dynquery"}:
            yield None, ""
        if expression := tree.get("PLpgSQL_expr"):
            yield expression["parseMode"], expression["query"]
        for item in tree.values():
            yield from _queries(item)
