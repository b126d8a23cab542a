"""The upkeep of one table that isn't partitioned, on PostgreSQL or SQLite: old rows are deleted."""

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import sqlalchemy as sa

from app import db
from app.backfill import Pace
from app.errors import SchemaError
from app.migrations import run
from app.migrations.errors import MigrationError
from app.migrations.partitions.clock import disagreement, server_now
from app.migrations.partitions.transactions import is_true, record
from app.migrations.partitions.upkeep.deletion import Deleted, OldRows, begins_an_index, cascades, cascades_to_itself
from app.migrations.partitions.upkeep.maintenance import Action, Step, Upkeep
from app.migrations.run import Ledger, Outcome
from app.sql_text import for_driver, quoted

_MOST_COUNTED = 1_000_000
_MOST_WITHOUT_INDEX = 100_000  # rows that each page reads all of
_ROWS_A_SECOND = 1_000_000
_LAG_SECONDS = 10.0


class PlainTable(Upkeep):
    """One table that isn't partitioned."""

    def plan(self) -> None:
        """Adds the step that a run would take."""
        with run.reading(self.project, self.engine) as connection:
            rows = self._look(connection)
            if rows is not None:
                self.result.steps.append(self._step(rows.before, self._number(connection, rows.old)))

    def run(self) -> None:
        """Deletes the rows, and records how many, also if it is ended before all are gone."""
        started, deleted, step = time.monotonic(), Deleted(), None
        with self._connection() as connection:
            rows = self._look(connection)
            if rows is None:
                return
            step = self._step(rows.before, 0)
            self._prepare()
            run.log.info("%s", step)
            pace = Pace(pause=1.0, max_lag=_LAG_SECONDS)
            try:
                for number, children in rows.delete(pace):
                    deleted.add(number, children)
            except BaseException as error:
                self._record_what_was_done(step, deleted, error)
                raise
        step = replace(step, rows=deleted.rows, children=deleted.children, seconds=time.monotonic() - started)
        if deleted.rows:
            self._record(step)
            self.result.steps.append(step)

    @property
    def _name(self) -> str:
        return quoted(self.declared.table)

    def _look(self, connection: sa.Connection) -> OldRows | None:
        """Returns the old rows; None if there are none."""
        declared, keep = self.declared, self.declared.schedule.keep
        if keep is None:
            return None
        now = server_now(connection, self.options.now)
        if not declared.key:
            raise MigrationError(f"Nothing was deleted: the model of {declared.table} has no primary key.")
        before = keep.before(now).replace(microsecond=0)
        rows = OldRows(connection, declared, before, cascades(connection, declared.table))
        if not is_true(connection, f"SELECT EXISTS (SELECT 1 FROM {self._name} WHERE {rows.old})"):
            return None
        self._require_consent(connection, rows, now)
        self._require_shorter(connection, rows, now)
        self._require_index(connection)
        for own in rows.references:
            if not own.has_index:
                line = f"no index of {own.table} begins with {', '.join(own.columns)}"
                self.result.note(f"{line}: each row of {own.to} that goes reads all of it")
        return rows

    def _require_consent(self, connection: sa.Connection, rows: OldRows, now: dt.datetime) -> None:
        table, keep = self.declared.table, self.declared.schedule.keep
        if self.options.archive is not None:
            raise MigrationError(
                f"Nothing was deleted: --archive writes whole partitions, and {table} has none. Without it: schema "
                f"partitions maintain {table}. Or convert it before: schema partitions enable {table}"
            )
        wrong = disagreement(connection) if self.options.now is None else None
        if wrong is not None:
            raise MigrationError(f"Nothing was deleted: {wrong}.")
        is_young = f"SELECT EXISTS (SELECT 1 FROM {self._name} WHERE {rows.young})"
        if not self.options.accept_empty and not is_true(connection, is_young):
            raise MigrationError(
                f"Nothing was deleted: no row of {table} is younger than {keep}, so that all of them would go. Is the "
                f"clock right ({now:%Y-%m-%d %H:%M} UTC)? If it is, say --accept-empty"
            )

    def _require_shorter(self, connection: sa.Connection, rows: OldRows, now: dt.datetime) -> None:
        """Refuses to delete rows with which others would go that are declared to be kept for longer."""
        declarations, keep = self.project.declarations(), self.declared.schedule.keep
        assert keep is not None
        for own in cascades_to_itself(connection, self.declared.table):
            columns, referred = (", ".join(map(quoted, names)) for names in (own.columns, own.referred))
            goes = f"{rows.young} AND ({columns}) IN (SELECT {referred} FROM {self._name} WHERE {rows.old})"
            if is_true(connection, f"SELECT EXISTS (SELECT 1 FROM {self._name} WHERE {goes})"):
                raise MigrationError(
                    f"Nothing was deleted: younger rows of {own.table} refer to older ones, by {', '.join(own.columns)}"
                    ", and would go with them (ON DELETE CASCADE). Let the foreign key say ON DELETE SET NULL"
                )
        for own in rows.references:
            other = declarations.get(own.table)
            if other is None or (
                (longer := other.schedule.keep) is not None and longer.before(now) >= keep.before(now)
            ):
                continue
            if not is_true(connection, f"SELECT EXISTS (SELECT 1 FROM {quoted(own.table)})"):
                continue
            how_long = f"for {longer}" if longer is not None else "for ever"
            raise MigrationError(
                f"Nothing was deleted: rows of {own.table} are kept {how_long}, and would go with those of {own.to} "
                f"(ON DELETE CASCADE), which are kept for {keep}. Keep {self.declared.table} as long, or {own.table} "
                f"for {keep} at most"
            )

    def _require_index(self, connection: sa.Connection) -> None:
        table, by = self.declared.table, self.declared.by
        if begins_an_index(connection, table, (by,)):
            return
        number = self._number(connection, "true")
        line = f"no index of {table} begins with {by}: each page of rows reads all {number:,} of them"
        if number > _MOST_WITHOUT_INDEX:
            seconds = max(number / _ROWS_A_SECOND, 0.1)
            raise MigrationError(
                f"Nothing was deleted: {line}, {seconds:.1f} s or more each time. Declare such an index, and run the "
                "same command again."
            )
        self.result.note(line)

    def _number(self, connection: sa.Connection, where: str) -> int:
        """Counts rows, at most a million and one of them."""
        counted = f"SELECT 1 FROM {self._name} WHERE {where} LIMIT {_MOST_COUNTED + 1}"
        question = for_driver(f"SELECT count(*) FROM ({counted}) AS counted", connection.dialect)
        return int(connection.exec_driver_sql(question).scalar_one())

    def _step(self, before: dt.datetime, rows: int) -> Step:
        why = f"rows older than {self.declared.schedule.keep} (before {before:%Y-%m-%d %H:%M} UTC)"
        return Step(self.declared.table, Action.DELETE, self.declared.table, why, high=before, rows=rows)

    def _prepare(self) -> None:
        """Waits for other migrations, and makes the ledger, so that the row at the end needs no lock."""
        with self.writing(), run.transaction(self.engine) as connection:
            Ledger(connection).create()

    def _record(self, step: Step) -> None:
        evidence = {"table": step.table, "high": step.high, "rows": step.rows, "children": step.children}
        with run.transaction(self.engine) as connection:
            subject = f"table {step.subject}"
            record(connection, self.project, Outcome.DELETED, subject, step.reason, evidence)

    def _record_what_was_done(self, step: Step, deleted: Deleted, error: BaseException) -> None:
        if not deleted.rows:
            return
        ended = "interrupted" if isinstance(error, KeyboardInterrupt) else "ended by an error"
        step = replace(step, rows=deleted.rows, children=deleted.children, reason=f"{step.reason}; {ended}")
        self.result.steps.append(step)
        with suppress(SchemaError, sa.exc.SQLAlchemyError):  # the first error is the one to tell
            self._record(step)

    @contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        """Gives a connection in AUTOCOMMIT, with foreign keys on SQLite, so that children go with their parents."""
        with db.connect(self.engine) as connection:
            outside = connection.execution_options(isolation_level="AUTOCOMMIT")
            if outside.dialect.name != "sqlite":
                yield outside
                return
            enforced = outside.exec_driver_sql("PRAGMA foreign_keys").scalar_one()
            outside.exec_driver_sql("PRAGMA foreign_keys = ON")
            try:
                yield outside
            finally:
                outside.exec_driver_sql(f"PRAGMA foreign_keys = {enforced}")
