"""Indexes and keys of a snapshot, as their definitions say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.migrations.sql.work import Work, columns_in, work_of
from app.sql_text import quoted

_KEYS = ("PRIMARY KEY", "UNIQUE")


@dataclass(frozen=True)
class Index:
    """An index, or a key with its own.

    Attributes:
        columns: the columns in order; an expression is empty.
        whole: it has every row, in order.
        mentioned: columns in its expressions and its predicate.
    """

    table: str
    name: str
    columns: tuple[str, ...]
    unique: bool = False
    whole: bool = True
    mentioned: frozenset[str] = frozenset()

    @classmethod
    def of(cls, work: Work, table: str, definition: str = "") -> "Index":
        """Returns the index that a piece of work makes."""
        unique, whole = "unique" in work.options or work.kind != "create_index", "in_part" not in work.options
        return cls(table, work.name, work.columns, unique, whole, frozenset(columns_in(definition)))


def indexes_of(facts: Mapping[str, Any]) -> Iterator[Index]:
    """Yields the indexes and keys of a snapshot."""
    for key, values in facts.items():
        kind, _, address = key.partition(" ")
        table, _, name = address.partition(".")
        definition = str(values.get("definition", "")) if kind in ("index", "constraint") else ""
        if kind == "constraint" and definition.startswith(_KEYS):
            definition = f"ALTER TABLE {quoted(table)} ADD CONSTRAINT {quoted(name)} {definition}"
        elif kind != "index":
            continue
        for work in work_of(definition) or ():
            yield Index.of(work, table, definition)
