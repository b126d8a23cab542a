"""What a rule and a database say to each other: questions, verdicts, and how names are spelt."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The answer to a rule's question."""

    SAFE = "safe"
    AT_RISK = "at risk"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Question:
    """What to ask a database.

    Attributes:
        sql: gives the number of rows at risk, or any number above 0.
        doubt: what it means that there was no answer in time.
        each: gives tables and conditions instead, whose rows are at risk.
    """

    sql: str
    doubt: Verdict
    each: bool = False


@dataclass(frozen=True)
class Words:
    """How a database spells things.

    Attributes:
        quote: quotes the name of a table, part by part.
        column: quotes that of a column.
        type_of: the type of a column as it is now, None if there is no such column.
    """

    dialect: str
    quote: Callable[[str], str]
    column: Callable[[str], str]
    type_of: Callable[[str, str], str | None]


def text_of(value: str) -> str:
    """A value as a literal."""
    return "'" + value.replace("'", "''") + "'"
