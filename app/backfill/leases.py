"""Hands stretches of a table to workers, on one machine or on many; PostgreSQL only.

Every job has a row that says how far the table is handed out. A worker locks it, takes the next stretch, and writes
down that it is his for a while; he says so again as long as he works on it. A stretch whose time has run out goes to
somebody else: its worker is dead, or so slow that it does no harm if two work at the same rows, since every page is
compared and swapped. When all is handed out and finished, whoever notices decides whether another walk is needed.

The table belongs to no metadata and no migration: the first job creates it. What was done is told by the rows of the
table themselves, so that a job of which nobody is alive any more simply begins anew.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import sqlalchemy as sa

from app.backfill.passes import Report, Tally, Walks
from app.backfill.sweep import blank
from app.backfill.table import Key, Rows, Span

TABLE = "schema_leases"
SECONDS = 30.0
ROWS = 20_000

_CREATE = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    job text NOT NULL, number integer NOT NULL, low text, high text, owner text, until timestamptz NOT NULL,
    state text, PRIMARY KEY (job, number)
)"""
_EXPIRED = sa.text(
    f"SELECT number, low, high FROM {TABLE} WHERE job = :job AND number > 0 AND until < clock_timestamp() "
    "ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED"
)
_HOLD = sa.text(
    f"UPDATE {TABLE} SET owner = :owner, until = clock_timestamp() + make_interval(secs => :seconds) "
    "WHERE job = :job AND number = :number AND (:taken OR owner = :owner)"
)
_ADD = sa.text(
    f"INSERT INTO {TABLE} VALUES (:job, :number, :low, :high, :owner, "
    "clock_timestamp() + make_interval(secs => :seconds), :state) ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True)
class Lease:
    """A stretch that is ours for a while."""

    number: int
    span: Span


@dataclass
class Job:
    """A job's own row: how far the table is handed out in this walk, and what has come of it.

    Attributes:
        handed: up to where it is handed out; None before the first stretch.
        end: up to where this walk goes; None for an empty table.
        last: the number of the last lease.
        report: of the stretches of this walk that are finished.
        walks: the walks before.
    """

    handed: Key | None
    end: Key | None
    last: int
    report: Report
    walks: Walks

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self.walks.over

    def dumped(self) -> dict[str, Any]:
        """The columns of the row."""
        state = {"last": self.last, "report": asdict(self.report), "walks": asdict(self.walks)}
        return {"low": _text(self.handed), "high": _text(self.end), "state": json.dumps(state, default=str)}

    @classmethod
    def loaded(cls, row: Any) -> "Job":
        """Reads the row."""
        state = json.loads(row.state)
        return cls(_key(row.low), _key(row.high), state["last"], _report(state["report"]), Walks(**state["walks"]))


class Leases:
    """The leases of a job, as one worker sees them.

    Args:
        engine: gives the leases a connection of their own.
        rows: the table that is worked at.
        job: the job's name; who gives the same name does the same work.
        owner: the worker's name, which no other has.
        finished: asks whether nothing is left to change, where that can be asked.
        seconds: for how long a lease is given.
        size: rows in a stretch.
    """

    def __init__(
        self,
        engine: sa.Engine,
        rows: Rows,
        job: str,
        owner: str,
        *,
        finished: Callable[[], bool] | None = None,
        seconds: float = SECONDS,
        size: int = ROWS,
    ) -> None:
        self._engine = engine
        self._rows = rows
        self._finished = finished
        self._size = size
        self.seconds = seconds
        self._names = {"job": job, "owner": owner, "seconds": seconds}

    def join(self) -> None:
        """Begins the job, or joins those who are at it."""
        with self._engine.begin() as connection:
            # Two sessions that create a table at once don't see each other's.
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": TABLE})
            connection.exec_driver_sql(_CREATE)
        fresh = self._fresh(Walks(self._rows.table))
        with self._engine.begin() as connection:
            connection.execute(_ADD, self._names | {"number": 0} | fresh.dumped())
            job = self._locked(connection)
            alive = connection.execute(
                sa.text(f"SELECT bool_or(until > clock_timestamp()) FROM {TABLE} WHERE job = :job"), self._names
            ).scalar()
            if job is None or job.over or not alive:
                connection.execute(sa.text(f"DELETE FROM {TABLE} WHERE job = :job AND number > 0"), self._names)
                self._save(connection, fresh)

    def look(self) -> Job | None:
        """The job as it is now."""
        with self._engine.begin() as connection:
            return self._locked(connection)

    def claim(self) -> Lease | Job | None:
        """The next stretch; the job itself when it is over; None if others still work and nothing is left to take."""
        with self._engine.begin() as connection:
            # Whether all is done is asked beside this transaction, by a scan of the table.
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            row = connection.execute(_EXPIRED, self._names).first()
            if row is not None:
                connection.execute(_HOLD, self._names | {"number": row.number, "taken": True})
                low, high = _key(row.low), _key(row.high)
                assert high is not None
                return Lease(row.number, Span(low, high))
            job = self._locked(connection)
            if job is None or job.over:
                return job
            lease = self._next(connection, job)
            if lease is None and not self._others(connection):
                report = job.report
                job.report = job.walks.add(report, finished=self._finished)
                if not job.over:
                    job = self._fresh(job.walks)
            self._save(connection, job)
            return job if job.over else lease

    def keep(self, lease: Lease) -> None:
        """Says that we are still at it."""
        with self._engine.begin() as connection:
            connection.execute(_HOLD, self._names | {"number": lease.number, "taken": False})

    def finish(self, lease: Lease, report: Report) -> None:
        """Gives a stretch back with what was done in it; if it was taken from us, the other one tells."""
        with self._engine.begin() as connection:
            job = self._locked(connection)
            ours = connection.execute(
                sa.text(f"DELETE FROM {TABLE} WHERE job = :job AND number = :number AND owner = :owner"),
                self._names | {"number": lease.number},
            ).rowcount
            if job is not None and ours:
                job.report.add(report)
                self._save(connection, job)

    def give_back(self, lease: Lease, report: Report, reached: Key | None) -> None:
        """Lets somebody else have what is left of a stretch.

        Args:
            lease: the stretch.
            report: what was done in it.
            reached: up to which row; None if nothing was.
        """
        with self._engine.begin() as connection:
            job = self._locked(connection)
            ours = connection.execute(
                sa.text(
                    f"UPDATE {TABLE} SET until = to_timestamp(0), low = coalesce(:low, low) "
                    "WHERE job = :job AND number = :number AND owner = :owner"
                ),
                self._names | {"number": lease.number, "low": _text(reached)},
            ).rowcount
            if job is not None and ours:
                job.report.add(replace(report, stopped=False))  # the job goes on
                self._save(connection, job)

    def _fresh(self, walks: Walks) -> Job:
        span = self._rows.span()
        return Job(None, None if span is None else span.high, 0, blank(self._rows.table, self._rows.columns), walks)

    def _next(self, connection: sa.Connection, job: Job) -> Lease | None:
        if job.end is None or job.handed == job.end:
            return None
        low = job.handed
        job.handed = _key(_text(self._rows.cut(Span(low, job.end), self._size)))
        job.last += 1
        values = {"number": job.last, "low": _text(low), "high": _text(job.handed), "state": None}
        connection.execute(_ADD, self._names | values)
        assert job.handed is not None
        return Lease(job.last, Span(low, job.handed))

    def _locked(self, connection: sa.Connection) -> Job | None:
        question = sa.text(f"SELECT low, high, state FROM {TABLE} WHERE job = :job AND number = 0 FOR UPDATE")
        row = connection.execute(question, self._names).first()
        return None if row is None else Job.loaded(row)

    def _save(self, connection: sa.Connection, job: Job) -> None:
        connection.execute(
            sa.text(
                f"UPDATE {TABLE} SET low = :low, high = :high, state = :state, "
                "until = clock_timestamp() + make_interval(secs => :seconds) WHERE job = :job AND number = 0"
            ),
            self._names | job.dumped(),
        )

    def _others(self, connection: sa.Connection) -> bool:
        question = sa.text(f"SELECT EXISTS (SELECT FROM {TABLE} WHERE job = :job AND number > 0)")
        return bool(connection.execute(question, self._names).scalar())


def _text(key: Key | None) -> str | None:
    def plain(value: Any) -> str:
        return "\\x" + bytes(value).hex() if isinstance(value, bytes | memoryview) else str(value)

    return None if key is None else json.dumps(key, default=plain)


def _key(text: str | None) -> Key | None:
    return None if text is None else tuple(json.loads(text))


def _report(values: dict[str, Any]) -> Report:
    columns = {name: Tally(**tally) for name, tally in values["columns"].items()}
    rejections = [tuple(rejection) for rejection in values["rejections"]]
    return Report(**values | {"columns": columns, "rejections": rejections})
