"""PL/pgSQL, as far as it is read: the statements of a DO block or a trigger function, one level deep."""

import re
from collections.abc import Iterator
from enum import Enum
from typing import Any

import postgast

# A trigger function has variables that nothing declares; the parser knows them only for RETURNS trigger, unprinted.
_TRIGGER = """\
CREATE FUNCTION trigger() RETURNS record LANGUAGE plpgsql AS $trigger_body$
DECLARE new record; old record; tg_op text; tg_name text; tg_when text; tg_level text; tg_relid oid; tg_relname text;
    tg_table_name text; tg_table_schema text; tg_nargs integer; tg_argv text[];
BEGIN {body}; END $trigger_body$"""


class Mode(Enum):
    """The use that code makes of a text in it, by the parser's number."""

    EXECUTE = None
    STATEMENT = 0
    EXPRESSION = 2
    ASSIGNMENT = 3


def of_block(body: str) -> str:
    """Returns a statement that the parser reads from the body of a DO block."""
    return f"DO $block_body${body}$block_body$"


def of_trigger(body: str) -> str:
    """Returns a statement that the parser reads from the body of a trigger function."""
    return _TRIGGER.format(body=re.sub(r"[\s;]+\Z", "", body))


def statements(text: str) -> list[tuple[str, Mode]] | None:
    """Returns the SQL in a block or a function, reached or not; None if it can't be read."""
    try:
        return list(_queries(postgast.parse_plpgsql(text)))
    except (postgast.PgQueryError, ValueError):
        return None


def _queries(tree: Any) -> Iterator[tuple[str, Mode]]:
    if isinstance(tree, list):
        for item in tree:
            yield from _queries(item)
    elif isinstance(tree, dict):
        if tree.keys() & {"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors", "dynquery"}:
            yield "", Mode.EXECUTE
        if expression := tree.get("PLpgSQL_expr"):
            query, number = expression["query"], expression["parseMode"]
            if number in (Mode.STATEMENT.value, Mode.EXPRESSION.value):
                yield query, Mode(number)
            else:
                yield re.split(r":?=", query, maxsplit=1)[-1], Mode.ASSIGNMENT
        for item in tree.values():
            yield from _queries(item)
