"""Expected errors: one line for the operator, an exit code and a stable word each; no message holds a secret."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_LOCKED = ("55P03", "40P01")  # lock not available, deadlock
_DATA_EXCEPTION = (
    "22"  # a class of errors whose messages quote the value: invalid input syntax for type integer: "sk-…"
)


class SchemaError(Exception):
    """Base of every expected error; the message says what is wrong, where, and what to do.

    Attributes:
        exit_code: what a command line ends with.
        word: the same as a stable word, for `--json`.
    """

    exit_code = 1
    word = "error"


class SettingsError(SchemaError, ValueError):
    """A setting can't be used; the message names it and never shows a secret."""

    exit_code = 2
    word = "configuration"


class DatabaseUnreachable(SchemaError):  # noqa: N818 - a state, rather than a fault of the caller
    """The database can't be connected to; the message has the URL without its password, and the server's words."""


class DatabaseRefuses(SchemaError):  # noqa: N818 - as above
    """The database refuses a statement; the message has the server's words without values."""


@dataclass(frozen=True)
class Failure:
    """An exception as the ledger and an operator see it: without a value of a row, a parameter or a key."""

    kind: str
    sqlstate: str | None
    text: str

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Describes an exception; of a database error only the server's main message, for details quote rows."""
        original = _original(error)
        if original is not None:
            primary = getattr(getattr(original, "diag", None), "message_primary", None)
            sqlstate = getattr(original, "sqlstate", None)
            if sqlstate is not None and sqlstate.startswith(_DATA_EXCEPTION):
                primary = re.sub('".*"', "(a value)", str(primary), flags=re.DOTALL)
            text = primary or " ".join(without_undecodable(str(original)).partition("DETAIL:")[0].split())
            return cls(type(original).__name__, sqlstate, text)
        text = "Interrupted from outside: Ctrl-C or SIGTERM." if isinstance(error, KeyboardInterrupt) else str(error)
        return cls(type(error).__name__, None, " ".join(text.split()))

    def __str__(self) -> str:
        kind = f"{self.kind}{f' {self.sqlstate}' if self.sqlstate else ''}"
        return f"{kind}: {self.text}" if self.text else kind


def without_undecodable(message: str) -> str:
    """Cuts off the text that SQLite quotes in a message because it isn't UTF-8: a secret, for instance."""
    return re.sub("(Could not decode to UTF-8 column '.*?') with text '.*", r"\1", message, flags=re.DOTALL)


def met_a_lock(error: BaseException) -> bool:
    """Returns whether another session's lock caused an error, so that the same may succeed a little later."""
    import sqlite3

    original = _original(error) or (error if isinstance(error, sqlite3.Error) else None)
    if original is None:
        return False
    return getattr(original, "sqlstate", None) in _LOCKED or "database is locked" in str(original)


@contextmanager
def database_errors_in_one_line(advice: str = "") -> Iterator[None]:
    """Raises errors of the database as `DatabaseRefuses`.

    Args:
        advice: what to do, a sentence that ends the message.
    """
    import sqlalchemy as sa

    try:
        yield
    except sa.exc.DBAPIError as error:
        # The cause would show the statement's details, which quote rows.
        raise DatabaseRefuses(f"The database refuses: {Failure.of(error)}{advice and f'. {advice}'}") from None


def _original(error: BaseException) -> Any:
    """Returns the driver's error in one of SQLAlchemy's; None for any other error."""
    import sqlalchemy as sa

    return error.orig if isinstance(error, sa.exc.DBAPIError) else None
