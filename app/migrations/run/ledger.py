"""The ledger: one row for every attempt to apply, revert or stamp a revision.

Alembic's own table says where a database is; it stays the truth, and plain Alembic always works. The ledger says how it
got there: when, by whom, how long it took, what failed. A row begins as `running` before the revision starts. "Applied"
is written in the revision's own transaction, so it can't lie; "failed" after the rollback. A `running` row whose run
holds no lock any more is one that crashed.

The table is part of no model and of no revision: the first write creates it, and adds the columns that a table of older
code lacks. Columns are only ever added, nullable or with a default, so older code goes on working on a newer table.
"""

import getpass
import os
import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa

from app.errors import Failure
from app.migrations import own_tables
from app.migrations.code_version import code_version
from app.migrations.errors import MigrationError
from app.migrations.own_tables import ATTEMPTS, LEDGER_TABLE
from app.migrations.session import Direction

_ERROR_LENGTH = 2000

table = sa.Table(
    LEDGER_TABLE,
    sa.MetaData(),
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
    sa.Column("revision", sa.String(32), nullable=False),
    sa.Column("direction", sa.String(20), nullable=False),
    sa.Column("outcome", sa.String(20), nullable=False),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("finished_at", sa.DateTime(timezone=True)),
    sa.Column("duration_ms", sa.Integer),
    sa.Column("checksum", sa.String(64)),
    sa.Column("repeatable", sa.Boolean, nullable=False, server_default=sa.text("true")),
    sa.Column("error_class", sa.String(200)),
    sa.Column("sqlstate", sa.String(5)),
    sa.Column("error", sa.Text),
    sa.Column("database_user", sa.String(200)),
    sa.Column("host", sa.String(200)),
    sa.Column("pid", sa.Integer),
    sa.Column("code_version", sa.String(200)),
    sa.Column("reason", sa.Text),
    sa.Column("subject", sa.Text),
    sa.Column("evidence", sa.Text),
)
_KINDS = {column.name: (column.nullable, column.type.python_type) for column in table.columns}
_WORD = re.compile("[a-z][a-z_]*")  # anything else was written by hand


class Outcome(StrEnum):
    """The end of an attempt.

    Newer code may write others. Such a row is `UNKNOWN`: read, shown, and counted neither as applied nor as failed.
    """

    RUNNING = "running"
    APPLIED = "applied"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    SKIPPED = "skipped"
    ADOPTED = "adopted"
    ACCEPTED = "accepted"
    REVERTED = "reverted"
    DUE = "due"  # the schema has it, and rows are still to do
    PARTITIONED = "partitioned"  # a table was converted; `plain` is the way back
    PLAIN = "plain"
    CREATED = "created"  # a partition
    DROPPED = "dropped"  # a partition, with its rows
    DELETED = "deleted"  # rows of a table that isn't partitioned
    UNKNOWN = "unknown"


_BEGIN = sa.insert(table).returning(table.c.id)
_FINISH = sa.update(table).where(table.c.id == sa.bindparam("entry"), table.c.outcome == Outcome.RUNNING)
_KNOWN = ({*Direction} - {Direction.UNKNOWN}, {*Outcome} - {Outcome.UNKNOWN})


@dataclass(frozen=True)
class Entry:
    """One row of the ledger.

    Attributes:
        repeatable: false once something ran outside the revision's transaction that can't simply be run again.
        checksum: of the revision's code, see `preflight.checksum`.
        code_version: the commit that the code was at, or the setting `SCHEMA_CODE_VERSION`.
        subject: the object that `schema check` was told about, such as `column users.nick`; `checksum` is of the
            difference then.
        evidence: of an adoption, in JSON: what was found and done, and the tables before and after.
        newer: the direction or the outcome, if only newer code knows it; `outcome` is `UNKNOWN` then.
    """

    id: int
    revision: str
    direction: Direction
    outcome: Outcome
    started_at: datetime
    finished_at: datetime | None = None
    duration_ms: int | None = None
    checksum: str | None = None
    repeatable: bool = True
    error_class: str | None = None
    sqlstate: str | None = None
    error: str | None = None
    database_user: str | None = None
    host: str | None = None
    pid: int | None = None
    code_version: str | None = None
    reason: str | None = None
    subject: str | None = None
    evidence: str | None = None
    newer: str | None = None

    @property
    def by(self) -> str:
        """Database user, host and process of the attempt."""
        return f"{self.database_user} on {self.host} pid {self.pid}"


def attempts(entries: list[Entry], revision: str) -> list[Entry]:
    """Returns the attempts at a revision, oldest first, without the decisions of `schema check`."""
    others = (Direction.CHECK, Direction.PARTITIONS)
    return [entry for entry in entries if entry.revision == revision and entry.direction not in others]


def last_applied(entries: list[Entry], revision: str) -> Entry | None:
    """Returns the last attempt that applied, reverted or stamped a revision."""
    applied = [entry for entry in entries if entry.revision == revision and entry.outcome is Outcome.APPLIED]
    return applied[-1] if applied else None


class Ledger:
    """The ledger of the database that `connection` is connected to.

    Args:
        connection: reading and writing join its transaction; nothing here commits.
        root: the project's folder, whose commit new rows name; None where none is written.
    """

    def __init__(self, connection: sa.Connection, root: Path | None = None) -> None:
        self._connection = connection
        self._root = root
        self._user: str | None = None
        self._exists = False

    def exists(self) -> bool:
        """Returns whether the table is there; it never goes."""
        self._exists = self._exists or own_tables.exists(self._connection, LEDGER_TABLE)
        return self._exists

    def entries(self, *, with_partitions: bool = False) -> list[Entry]:
        """Returns the rows about revisions, oldest first; none where there is no ledger yet. Writes nothing.

        Args:
            with_partitions: the rows about partitions as well, which say nothing of revisions, and are many.

        Raises:
            MigrationError: somebody has written a row that isn't one of a ledger.
        """
        if not self.exists():
            return []
        try:
            # By name: a table of older code lacks columns, one of newer code has more.
            which = "" if with_partitions else ATTEMPTS
            rows = self._connection.exec_driver_sql(f"SELECT * FROM {LEDGER_TABLE} {which} ORDER BY id")
            return [_entry(row) for row in rows]
        except (ValueError, TypeError) as error:
            raise MigrationError(
                f"The table {LEDGER_TABLE} has a row that can't be read ({error}). Only migrations write it: correct "
                "that row by hand."
            ) from None

    def create(self) -> None:
        """Creates the table if it isn't there, and adds columns that a table of older code lacks."""
        if not self.exists():
            table.create(self._connection, checkfirst=False)
            self._exists = True
            return
        present = self._connection.exec_driver_sql(f"SELECT * FROM {LEDGER_TABLE} LIMIT 0").keys()
        for column in table.columns:
            if column.name not in present:
                ddl = sa.schema.CreateColumn(column).compile(dialect=self._connection.dialect)
                self._connection.exec_driver_sql(f"ALTER TABLE {LEDGER_TABLE} ADD COLUMN {ddl}")

    def begin(self, revision: str, direction: Direction, checksum: str | None) -> int:
        """Adds a row for an attempt that starts now; returns its id, for `finish`."""
        values = self._values(revision, direction, Outcome.RUNNING, checksum)
        return cast("int", self._connection.execute(_BEGIN, values).scalar_one())

    def record(
        self,
        revision: str,
        direction: Direction,
        outcome: Outcome,
        checksum: str | None,
        reason: str | None,
        *,
        subject: str | None = None,
        evidence: str | None = None,
    ) -> None:
        """Adds a row for something that was decided rather than run."""
        values = self._values(revision, direction, outcome, checksum)
        values |= {"finished_at": values["started_at"], "duration_ms": 0}
        values |= {"reason": reason, "subject": subject, "evidence": evidence}
        self._connection.execute(sa.insert(table), values)

    def finish(
        self,
        entry: int,
        outcome: Outcome,
        seconds: float,
        failure: Failure | None = None,
        *,
        reason: str | None = None,
    ) -> bool:
        """Writes the end of an attempt; returns False if that is known already, and then writes nothing."""
        values: dict[str, Any] = {
            "outcome": outcome,
            "finished_at": datetime.now(UTC),
            "duration_ms": round(seconds * 1000),
            "reason": reason,
        }
        if failure is not None:
            values |= {"error_class": failure.kind, "sqlstate": failure.sqlstate, "error": failure.text[:_ERROR_LENGTH]}
        return self._connection.execute(_FINISH, {"entry": entry, **values}).rowcount == 1

    def close_crashed(self) -> list[Entry]:
        """Marks rows as failed that still say `running`; only the holder of the lock may call it."""
        crashed = [entry for entry in self.entries() if entry.outcome is Outcome.RUNNING]
        failure = Failure("Crashed", None, "The run ended without a word: it was killed, or it lost the server.")
        now = datetime.now(UTC)
        # One may have ended well at this very moment.
        return [e for e in crashed if self.finish(e.id, Outcome.FAILED, (now - e.started_at).total_seconds(), failure)]

    def _values(self, revision: str, direction: Direction, outcome: Outcome, checksum: str | None) -> dict[str, Any]:
        self._user = self._user or _database_user(self._connection)
        return {
            "revision": revision,
            "direction": direction,
            "outcome": outcome,
            "started_at": datetime.now(UTC),
            "checksum": checksum,
            "repeatable": True,
            "database_user": self._user,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "code_version": code_version(self._root) if self._root is not None else None,
        }


def _entry(row: sa.Row[Any]) -> Entry:
    named = row._mapping.items()  # noqa: SLF001 - documented
    values = {name: _typed(value, _KINDS[name][1]) for name, value in named if name in _KINDS}
    for name, value in values.items():
        nullable, kind = _KINDS[name]
        if not (nullable if value is None else isinstance(value, kind)):
            raise TypeError(f"{name} is {type(value).__name__}")  # not its text, which may be anything
    words = values["direction"], values["outcome"]
    newer = [word for word, known in zip(words, _KNOWN, strict=True) if word not in known]
    if not all(isinstance(word, str) and _WORD.fullmatch(word) for word in newer):
        raise ValueError(f"direction {words[0]!r}, outcome {words[1]!r}")
    values["direction"] = Direction.UNKNOWN if words[0] in newer else Direction(words[0])
    values["outcome"] = Outcome.UNKNOWN if newer else Outcome(words[1])
    values["newer"] = ", ".join(newer) or None
    return Entry(**values)


def _typed(value: Any, kind: type) -> Any:
    # SQLite keeps a time as text, without its zone, and a truth value as a number.
    if kind is datetime and isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return bool(value) if kind is bool and isinstance(value, int) else value


def _database_user(connection: sa.Connection) -> str:
    """Returns the role of the server, or on SQLite the user of the operating system."""
    if connection.dialect.name == "postgresql":
        return str(connection.exec_driver_sql("SELECT current_user").scalar_one())
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return str(os.getuid())
