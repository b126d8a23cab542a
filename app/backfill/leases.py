"""Leases on ranges of a table, for workers on one machine or on many; PostgreSQL only.

Each job has a row that says how far the table is handed out. A worker locks that row, takes the next range, and records
a lease on it, which it renews while it works. A range whose lease has run out goes to another worker. If the first one
is only slow, both may change the same rows without harm, since every page is compared and swapped.

The table of leases belongs to no metadata and no revision: the first job creates it. Progress is visible in the rows
themselves, so a job without live workers simply starts again.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import sqlalchemy as sa

from app import db, server_session
from app.backfill.passes import Passes
from app.backfill.report import LEASES_TABLE, Report, Tally
from app.backfill.table import KeyRange, RowKey, Table

LEASE_SECONDS = 30.0
LEASE_ROWS = 20_000

_CREATE = f"""
CREATE TABLE {LEASES_TABLE} (
    job text NOT NULL, number integer NOT NULL, low text, high text, owner text, until timestamptz NOT NULL,
    state text, PRIMARY KEY (job, number)
)"""
_UNTIL = "clock_timestamp() + make_interval(secs => :seconds)"
_ADD = (
    f"INSERT INTO {LEASES_TABLE} VALUES (:job, :number, :low, :high, :owner, {_UNTIL}, :state) ON CONFLICT DO NOTHING"
)
_STAY = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'"  # from 14 on
# Number 0 is the job's own row.
_JOB = f"{LEASES_TABLE} WHERE job = :job AND number = 0"
_LEASES = f"{LEASES_TABLE} WHERE job = :job AND number > 0"
_SAVE_JOB = (
    f"UPDATE {LEASES_TABLE} SET low = :low, high = :high, state = :state, until = {_UNTIL} "
    "WHERE job = :job AND number = 0"
)
_RENEW = (
    f"UPDATE {LEASES_TABLE} SET owner = :owner, until = {_UNTIL} "
    "WHERE job = :job AND number = :number AND (:taken OR owner = :owner)"
)
_FINISH = f"DELETE FROM {LEASES_TABLE} WHERE job = :job AND number = :number AND owner = :owner"
_GIVE_BACK = (
    f"UPDATE {LEASES_TABLE} SET until = to_timestamp(0), low = coalesce(:low, low) "
    "WHERE job = :job AND number = :number AND owner = :owner"
)


@dataclass(frozen=True)
class Lease:
    """A range that a worker holds for a while.

    Attributes:
        number: of this range.
        key_range: the range.
        page_rows: rows of a page, as a worker that has finished a range found them right; None if none has.
    """

    number: int
    key_range: KeyRange
    page_rows: int | None = None


@dataclass
class Job:
    """A job's own row: how far the table is handed out in this pass, and the result so far."""

    handed_out: RowKey | None  # None before the first range
    end: RowKey | None  # None for an empty table
    last: int  # number of the last lease
    report: Report  # of the finished ranges of this pass
    passes: Passes  # before this one
    page_rows: int | None = None  # see Lease

    def dump(self) -> dict[str, Any]:
        """Returns the columns of the row."""
        # "walks" is the word of version 0.1, which other machines may still run.
        state = {"last": self.last, "report": asdict(self.report), "walks": asdict(self.passes), "page": self.page_rows}
        return {"low": dump_key(self.handed_out), "high": dump_key(self.end), "state": json.dumps(state, default=str)}

    @classmethod
    def load(cls, row: Any) -> "Job":
        """Reads the row."""
        state = json.loads(row.state)
        report = Report(**state["report"])
        report.columns = {name: Tally(**tally) for name, tally in state["report"]["columns"].items()}
        report.rejections = [tuple(rejection) for rejection in state["report"]["rejections"]]
        passes = Passes(**state["walks"])
        return cls(load_key(row.low), load_key(row.high), state["last"], report, passes, state.get("page"))


@dataclass
class Leases:
    """The leases of a job, as one worker sees them.

    Args:
        name: the job's name; workers that give the same name share the job.
        owner: the worker's name, which no other worker has.
        finished: returns whether nothing is left to change, where a query can tell.
        size: rows of a range.
    """

    engine: sa.Engine
    table: Table
    name: str
    owner: str
    finished: Callable[[], bool] | None = None
    size: int = LEASE_ROWS
    _session: sa.Connection | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> Self:
        """Opens one session for all that follows."""
        self._session = db.connect(self.engine)
        if not server_session.is_pooled(self._session):
            with self._session.begin():
                self._session.exec_driver_sql(_STAY)  # a range may take longer
        return self

    def __exit__(self, *_: object) -> None:
        """Closes it."""
        assert self._session is not None
        self._session.close()
        self._session = None

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        session = nullcontext(self._session) if self._session is not None else db.connect(self.engine)
        with session as connection, connection.begin():
            yield connection

    def join(self) -> None:
        """Starts the job, or joins its live workers."""
        with self._transaction() as connection:
            # Two sessions that create a table at once don't see each other's.
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": LEASES_TABLE})
            # IF NOT EXISTS asks for the right to create even where there is nothing to do.
            if connection.exec_driver_sql(f"SELECT to_regclass('{LEASES_TABLE}')").scalar() is None:
                connection.exec_driver_sql(_CREATE)
        new = self._new_pass(Passes(self.table.name))
        with self._transaction() as connection:
            self._execute(connection, _ADD, number=0, **new.dump())
            job = self._lock(connection)
            alive = f"SELECT bool_or(until > clock_timestamp()) FROM {LEASES_TABLE} WHERE job = :job"
            if job.passes.over or not self._execute(connection, alive).scalar():
                self._execute(connection, f"DELETE FROM {_LEASES}")
                self._execute(connection, _SAVE_JOB, **new.dump())

    def job(self) -> Job:
        """Returns the job as it is now."""
        with self._transaction() as connection:
            return self._lock(connection)

    def claim(self) -> Lease | Job | None:
        """Returns the next range; the job when it is over; None while other workers hold the last ranges."""
        with self._transaction() as connection:
            # `finished` scans the table on another connection while this transaction waits.
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            expired = "until < clock_timestamp() ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED"
            row = self._execute(connection, f"SELECT number, low, high FROM {_LEASES} AND {expired}").first()
            if row is not None:
                self._execute(connection, _RENEW, number=row.number, taken=True)
                return _lease(row.number, row.low, row.high)
            job = self._lock(connection)
            if job.passes.over:
                return job
            lease = self._add(connection, job)
            if lease is None and self._execute(connection, f"SELECT FROM {_LEASES} LIMIT 1").first() is None:
                job.report = job.passes.add(job.report, finished=self.finished)
                if not job.passes.over:
                    job = self._new_pass(job.passes, job.page_rows)
            self._execute(connection, _SAVE_JOB, **job.dump())
            return job if job.passes.over else lease

    def renew(self, lease: Lease) -> None:
        """Renews a lease."""
        with self._transaction() as connection:
            self._execute(connection, _RENEW, number=lease.number, taken=False)

    def finish(self, lease: Lease, report: Report, page_rows: int | None = None) -> None:
        """Ends a lease on a finished range; a report counts only if no other worker has taken the range over."""
        self._end(_FINISH, report, page_rows, number=lease.number)

    def give_back(self, lease: Lease, report: Report, reached: RowKey | None) -> None:
        """Gives the rest of a range to other workers; `reached` is the key of the last finished row, or None."""
        # The job goes on, so its report isn't one of a stopped pass.
        self._end(_GIVE_BACK, replace(report, stopped=False), None, number=lease.number, low=dump_key(reached))

    def _end(self, statement: str, report: Report, page_rows: int | None, **values: Any) -> None:
        with self._transaction() as connection:
            job = self._lock(connection)
            if self._execute(connection, statement, **values).rowcount:
                job.report.add(report)
                job.page_rows = page_rows or job.page_rows
                self._execute(connection, _SAVE_JOB, **job.dump())

    def _new_pass(self, passes: Passes, page_rows: int | None = None) -> Job:
        key_range = self.table.key_range()
        report = Report.blank(self.table.name, self.table.columns)
        return Job(None, None if key_range is None else key_range.high, 0, report, passes, page_rows)

    def _add(self, connection: sa.Connection, job: Job) -> Lease | None:
        if job.end is None or job.handed_out == job.end:
            return None
        low, high = dump_key(job.handed_out), dump_key(self.table.cut(KeyRange(job.handed_out, job.end), self.size))
        job.handed_out = load_key(high)
        job.last += 1
        self._execute(connection, _ADD, number=job.last, low=low, high=high, state=None)
        return _lease(job.last, low, high, job.page_rows)

    def _lock(self, connection: sa.Connection) -> Job:
        return Job.load(self._execute(connection, f"SELECT low, high, state FROM {_JOB} FOR UPDATE").one())

    def _execute(self, connection: sa.Connection, statement: str, **values: Any) -> sa.CursorResult[Any]:
        names = {"job": self.name, "owner": self.owner, "seconds": LEASE_SECONDS}
        return connection.execute(sa.text(statement), names | values)


def dump_key(key: RowKey | None) -> str | None:
    """Returns a row key as JSON; values that JSON lacks become the text that PostgreSQL reads."""

    def as_text(value: Any) -> str:
        return "\\x" + bytes(value).hex() if isinstance(value, bytes | memoryview) else str(value)

    return None if key is None else json.dumps(key, default=as_text)


def load_key(text: str | None) -> RowKey | None:
    """Reads a row key from JSON."""
    return None if text is None else tuple(json.loads(text))


def _lease(number: int, low: str | None, high: str | None, page_rows: int | None = None) -> Lease:
    last = load_key(high)
    assert last is not None
    return Lease(number, KeyRange(load_key(low), last), page_rows)
