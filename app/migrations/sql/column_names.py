"""Statements of PostgreSQL about another column: renamed in the parsed statement, never in its text."""

from collections.abc import Iterator, Mapping
from typing import Any

import postgast


def index_on(statement: str, columns: Mapping[str, str], name: str) -> str:
    """Returns the CREATE INDEX on other columns, under another name, concurrent and repeatable."""
    tree = postgast.parse(statement)
    node = tree.stmts[0].stmt.index_stmt
    _rename(node, columns)
    node.idxname, node.concurrent, node.if_not_exists = name, True, True
    return str(postgast.deparse(tree))


def constraint_on(definition: str, columns: Mapping[str, str], name: str) -> str:
    """Returns `CONSTRAINT name …` with the definition of a CHECK or a foreign key on other columns, NOT VALID."""
    tree = postgast.parse(f"ALTER TABLE t ADD CONSTRAINT c {definition}")
    node = getattr(tree.stmts[0].stmt.alter_table_stmt.cmds[0].alter_table_cmd, "def").constraint
    _rename(node, columns)
    node.conname, node.skip_validation, node.initially_valid = name, True, False
    return str(postgast.deparse(tree)).partition(" ADD ")[2]


def of_new_row(expression: str) -> str | None:
    """Returns an expression with the values of a trigger's row, `new.age`; None if the grammar doesn't know it."""
    try:
        tree = postgast.parse(f"SELECT {expression}")
    except postgast.PgQueryError:
        return None
    for node in _references(tree):
        fields = [*node.fields][-1:]
        del node.fields[:]
        node.fields.add().string.sval = "new"
        node.fields.extend(fields)
    return str(postgast.deparse(tree)).removeprefix("SELECT ")


def _references(tree: Any) -> Iterator[Any]:
    yield from [node for _field, node in postgast.walk(tree) if type(node).__name__ == "ColumnRef"]


def _rename(tree: Any, columns: Mapping[str, str]) -> None:
    for node in _references(tree):
        last = node.fields[-1].string
        last.sval = columns.get(last.sval, last.sval)
    for _field, node in postgast.walk(tree):
        match type(node).__name__:
            case "IndexElem" if node.name:
                node.name = columns.get(node.name, node.name)
            case "Constraint":
                for part in (*node.fk_attrs, *node.fk_del_set_cols):
                    part.string.sval = columns.get(part.string.sval, part.string.sval)
