"""A piece of work: what one part of a statement does to a table."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Work:
    """A piece of work on a table.

    Attributes:
        kind: what is done, such as `create_index`; `other` for what takes a moment.
        table: the table, with its schema where one is written; empty if the statement doesn't say.
        name: the index, the constraint or the column; a type, a view, a setting or a function where there is no table.
        columns: the columns concerned.
        to: the new type, the condition of a CHECK, the default of a column, the other table, or the new name.
        options: words that the rules ask for, such as `concurrently` or `not_valid`.
        type: the type of a new column.
    """

    kind: str
    table: str
    name: str = ""
    columns: tuple[str, ...] = ()
    to: str = ""
    options: frozenset[str] = field(default_factory=frozenset)
    type: str = ""


def said(**options: bool) -> frozenset[str]:
    """Returns the words of what is given."""
    return frozenset(name for name, given in options.items() if given)
