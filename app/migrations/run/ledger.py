"""The ledger: one row for every attempt to apply, revert or stamp a revision.

Alembic's own table says where a database is; it stays the truth, and plain Alembic always works. The ledger says how it
got there: when, how long it took, by whom, what failed. A row begins as `running` before the revision starts. "Applied"
is written in the revision's own transaction, so it can't lie; "failed" after the rollback. A `running` row whose run
holds no lock any more is one that crashed.

The table isn't part of the application's metadata, and isn't itself migrated: it is created by the first write.
"""

import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa

from app.errors import Failure
from app.migrations.project import LEDGER_TABLE as TABLE
from app.migrations.run.origin import code_version, database_user
from app.migrations.session import Direction

ERROR_LENGTH = 2000

_metadata = sa.MetaData()
_big_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
table = sa.Table(
    TABLE,
    _metadata,
    sa.Column("id", _big_id, primary_key=True),
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
)


class Outcome(StrEnum):
    """How an attempt ended."""

    RUNNING = "running"
    APPLIED = "applied"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    SKIPPED = "skipped"
    ADOPTED = "adopted"
    ACCEPTED = "accepted"
    REVERTED = "reverted"


@dataclass(frozen=True)
class Entry:
    """One row of the ledger.

    Attributes:
        repeatable: false once something ran outside the revision's transaction that can't simply be run again.
        checksum: of the revision's code, see `checksums`.
        code_version: the commit that the code was at, or the setting `SCHEMA_CODE_VERSION`.
        subject: what `schema check` was told about, such as `column users.nick`; `checksum` is of the difference then.
    """

    id: int
    revision: str
    direction: Direction
    outcome: Outcome
    started_at: datetime
    finished_at: datetime | None
    duration_ms: int | None
    checksum: str | None
    repeatable: bool
    error_class: str | None
    sqlstate: str | None
    error: str | None
    database_user: str | None
    host: str | None
    pid: int | None
    code_version: str | None
    reason: str | None
    subject: str | None = None

    @property
    def by(self) -> str:
        """Who: database user, host and process."""
        return f"{self.database_user} on {self.host} pid {self.pid}"


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

    def exists(self) -> bool:
        """Whether the table is there. Writes nothing."""
        return sa.inspect(self._connection).has_table(TABLE)

    def entries(self) -> list[Entry]:
        """All rows, oldest first; none where there is no ledger yet. Writes nothing."""
        if not self.exists():
            return []
        return [_entry(row) for row in self._connection.execute(sa.select(table).order_by(table.c.id))]

    def create(self) -> None:
        """Creates the table if it isn't there."""
        _metadata.create_all(self._connection)

    def begin(self, revision: str, direction: Direction, checksum: str | None) -> int:
        """Adds a row for an attempt that starts now.

        Returns:
            The row's id, for `finish`.
        """
        values = self._values(revision, direction, Outcome.RUNNING, checksum)
        return cast("int", self._connection.execute(sa.insert(table).returning(table.c.id), values).scalar_one())

    def record(
        self,
        revision: str,
        direction: Direction,
        outcome: Outcome,
        checksum: str | None,
        reason: str | None,
        *,
        subject: str | None = None,
    ) -> None:
        """Adds a row for something that was decided rather than run."""
        values = self._values(revision, direction, outcome, checksum)
        values |= {"finished_at": values["started_at"], "duration_ms": 0, "reason": reason, "subject": subject}
        self._connection.execute(sa.insert(table), values)

    def finish(
        self,
        entry: int,
        outcome: Outcome,
        seconds: float,
        failure: Failure | None = None,
        *,
        reason: str | None = None,
    ) -> None:
        """Writes how an attempt ended, unless that is known already."""
        values: dict[str, Any] = {
            "outcome": outcome,
            "finished_at": datetime.now(UTC),
            "duration_ms": round(seconds * 1000),
        }
        if reason is not None:
            values["reason"] = reason
        if failure is not None:
            values |= {"error_class": failure.kind, "sqlstate": failure.sqlstate, "error": failure.text[:ERROR_LENGTH]}
        running = table.c.outcome == Outcome.RUNNING
        self._connection.execute(sa.update(table).where(table.c.id == entry, running), values)

    def close_crashed(self) -> list[Entry]:
        """Marks rows as failed that still say `running`; only to be called by who holds the lock."""
        crashed = [entry for entry in self.entries() if entry.outcome is Outcome.RUNNING]
        for entry in crashed:
            failure = Failure("Crashed", None, "The process ended without a word: killed, or the machine stopped.")
            self.finish(entry.id, Outcome.FAILED, (datetime.now(UTC) - entry.started_at).total_seconds(), failure)
        return crashed

    def _values(self, revision: str, direction: Direction, outcome: Outcome, checksum: str | None) -> dict[str, Any]:
        if self._user is None:
            self._user = database_user(self._connection)
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
            "code_version": code_version(self._root),
        }


def _entry(row: sa.Row[Any]) -> Entry:
    values = dict(row._mapping)  # noqa: SLF001 - the documented name
    values["direction"] = Direction(values["direction"])
    values["outcome"] = Outcome(values["outcome"])
    for name in ("started_at", "finished_at"):
        if values[name] is not None:
            values[name] = _utc(values[name])
    return Entry(**values)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
