"""PL/pgSQL, as far as it is read: the statements of a DO block or a trigger function, one level deep."""

import re
from collections.abc import Iterator
from typing import Any, Literal

import postgast

Use = Literal["statement", "expression", "execute"]

_MODES: dict[int, Use] = {0: "statement", 2: "expression"}  # the parser's numbers; the others are assignments
# The parser reads no function that RETURNS trigger as a whole, so this one declares a trigger's variables itself.
_TRIGGER = """\
CREATE FUNCTION trigger() RETURNS record LANGUAGE plpgsql AS $trigger_body$
DECLARE new record; old record; tg_op text; tg_name text; tg_when text; tg_level text; tg_relid oid; tg_relname text;
    tg_table_name text; tg_table_schema text; tg_nargs integer; tg_argv text[];
BEGIN {body}; END $trigger_body$"""


def of_block(body: str) -> str:
    """Returns a statement that the parser reads from the body of a DO block."""
    return f"DO $block_body${body}$block_body$"


def of_trigger(body: str) -> str:
    """Returns a statement that the parser reads from the body of a trigger function."""
    return _TRIGGER.format(body=re.sub(r"[\s;]+\Z", "", body))


def parts(text: str) -> list[tuple[str, Use]] | None:
    """Returns the SQL in a block or a function, reached or not, with its use; None if it can't be read."""
    try:
        return list(_parts(postgast.parse_plpgsql(text)))
    except (postgast.PgQueryError, ValueError):
        return None


def _parts(tree: Any) -> Iterator[tuple[str, Use]]:
    if isinstance(tree, list):
        for item in tree:
            yield from _parts(item)
    elif isinstance(tree, dict):
        if tree.keys() & {"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors", "dynquery"}:
            yield "", "execute"
        if expression := tree.get("PLpgSQL_expr"):
            use = _MODES.get(expression["parseMode"])
            query = expression["query"]
            yield query if use else re.split(r":?=", query, maxsplit=1)[-1], use or "expression"
        for item in tree.values():
            yield from _parts(item)
