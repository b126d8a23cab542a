"""Sessions that block a migration on PostgreSQL.

A lock time-out says only that something was in the way, and by then it is too late to look; a statement without a
time-out, such as a concurrent index build, may wait for ever. `watching` looks from a second connection meanwhile.
"""

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app import db
from app.errors import SchemaError

POLL_SECONDS = 0.4
QUERY_LENGTH = 120

_BLOCKERS = """
SELECT a.pid, coalesce(a.application_name, ''), coalesce(a.state, ''),
       extract(epoch FROM now() - coalesce(a.xact_start, a.backend_start))::int, coalesce(a.query, '')
FROM pg_stat_activity a WHERE a.pid = ANY(pg_blocking_pids(:pid)) ORDER BY 4 DESC
"""
# The server cuts a long text off, so that a string or a comment may have no end.
_LITERALS = re.compile(
    r"""(?P<name>"(?:[^"]|"")*(?:"|\Z))
    |(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
    |\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z)
    |\b[Ee]'(?:[^'\\]|''|\\.)*(?:'|\Z)
    |'(?:[^']|'')*(?:'|\Z)
    |\b\d[\w.]*""",
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True)
class Blocker:
    """A session that holds a lock that a migration waits for.

    Attributes:
        query: its last statement, with `?` in the place of values.
    """

    pid: int
    application: str
    state: str
    transaction_seconds: int
    query: str

    @classmethod
    def of(cls, row: Sequence[Any]) -> "Blocker":
        """Takes it from pid, application, state, seconds and query; the query's values are left out."""
        return cls(row[0], row[1], row[2], row[3], redacted(row[4]))

    def __str__(self) -> str:
        name = f"{self.application} " if self.application else ""
        return (
            f"{name}(pid {self.pid}, {self.state}, in its transaction for {self.transaction_seconds} s: {self.query})"
        )


@contextmanager
def watching(engine: sa.Engine, pid: int, looked: Callable[[list[Blocker]], None]) -> Iterator[None]:
    """Looks from another thread as long as the context lasts; connects only if that is long enough to wait.

    Args:
        engine: gives it a connection.
        pid: the server process that may wait.
        looked: called after each look with the sessions in its way, the oldest transaction first, or none.
    """
    done = threading.Event()

    def watch() -> None:
        if done.wait(POLL_SECONDS):
            return
        # Without blockers to name, an error text is only shorter.
        broken = (sa.exc.SQLAlchemyError, SchemaError, engine.dialect.loaded_dbapi.Error)
        with suppress(*broken), db.connect(engine) as connection:
            while not done.wait(POLL_SECONDS):
                # No AUTOCOMMIT: the pool of a handed-over engine would get back a connection that names its isolation.
                rows = connection.execute(sa.text(_BLOCKERS), {"pid": pid}).all()
                connection.rollback()
                looked([*map(Blocker.of, rows)])

    thread = threading.Thread(target=watch, name="blockers", daemon=True)
    with suppress(RuntimeError):  # a container may allow no more threads; without blockers to name, all goes on
        thread.start()
    try:
        yield
    finally:
        done.set()
        if thread.ident is not None:
            thread.join()


def redacted(query: str) -> str:
    """Returns a statement without the values in it, in one line of at most `QUERY_LENGTH` characters."""
    text = " ".join(
        _LITERALS.sub(lambda literal: literal["name"] or ("" if literal["comment"] else "?"), query).split()
    )
    return text if len(text) <= QUERY_LENGTH else f"{text[: QUERY_LENGTH - 1]}…"
