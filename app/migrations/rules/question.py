"""Questions that rules ask a database, and the verdicts on their answers."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The answer to a question."""

    SAFE = "safe"
    AT_RISK = "at risk"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Question:
    """A query that finds rows at risk.

    Attributes:
        sql: gives the number of rows at risk, or any number above 0.
        doubt: the verdict if there is no answer in time.
        each: `sql` gives tables and conditions instead; rows that meet one are at risk.
        otherwise: asked instead if the server has no cast that `sql` needs.
    """

    sql: str
    doubt: Verdict
    each: bool = False
    otherwise: "Question | None" = None


@dataclass(frozen=True)
class Words:
    """The spelling of one database.

    Attributes:
        quote: quotes the name of a table, part by part.
        column: quotes the name of a column.
        type_of: gives the present type of a column; None if there is no such column.
    """

    dialect: str
    quote: Callable[[str], str]
    column: Callable[[str], str]
    type_of: Callable[[str, str], str | None]
