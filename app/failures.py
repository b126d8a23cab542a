"""What went wrong in a revision, without a value of a row, a parameter or a key."""

import re
import sqlite3
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

LOCK_NOT_AVAILABLE = "55P03"
DEADLOCK_DETECTED = "40P01"
DATA_EXCEPTION = "22"  # a class of errors whose messages quote the value: invalid input syntax for type integer: "sk-…"


@dataclass(frozen=True)
class Failure:
    """An exception, as the ledger and an operator see it."""

    kind: str
    sqlstate: str | None
    text: str

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Describes an exception; of a database error only the server's main message, for details quote rows."""
        if isinstance(error, sa.exc.DBAPIError) and error.orig is not None:
            original: Any = error.orig
            primary = getattr(getattr(original, "diag", None), "message_primary", None)
            sqlstate = getattr(original, "sqlstate", None)
            if sqlstate is not None and sqlstate.startswith(DATA_EXCEPTION):
                primary = re.sub('".*"', "(a value)", str(primary), flags=re.DOTALL)
            # SQLite quotes text that isn't UTF-8, a secret for instance.
            text = primary or " ".join(re.split("DETAIL:| with text '", str(original))[0].split())
            return cls(type(original).__name__, sqlstate, text)
        text = "Interrupted from outside: Ctrl-C or SIGTERM." if isinstance(error, KeyboardInterrupt) else str(error)
        return cls(type(error).__name__, None, " ".join(text.split()))

    def __str__(self) -> str:
        kind = f"{self.kind}{f' {self.sqlstate}' if self.sqlstate else ''}"
        return f"{kind}: {self.text}" if self.text else kind


def met_a_lock(error: BaseException) -> bool:
    """Whether it was somebody else's lock, so that the same may succeed a little later."""
    original: Any = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    if not isinstance(error, sa.exc.DBAPIError | sqlite3.Error):
        return False
    if getattr(original, "sqlstate", None) in (LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED):
        return True
    return "database is locked" in str(original)
