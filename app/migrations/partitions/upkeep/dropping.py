"""The end of a detached partition: its foreign keys, its archive, the table itself with a row in the ledger.

Reading it takes long, and happens without the migration lock. A lock on the partition keeps writers and other runs from
it until it is gone.
"""

import time
from contextlib import ExitStack
from dataclasses import replace

import sqlalchemy as sa

from app.errors import met_a_lock
from app.migrations import run
from app.migrations.errors import MigrationError
from app.migrations.limits import deadlock_seconds, limit
from app.migrations.partitions.catalog import Partition, named, standing_alone
from app.migrations.partitions.transactions import again, execute, record, short_transaction, wait_briefly
from app.migrations.partitions.upkeep import archive
from app.migrations.partitions.upkeep.archive import Archive
from app.migrations.partitions.upkeep.maintenance import Action, Step, Upkeep
from app.migrations.run import Outcome
from app.sql_text import for_driver, quoted

_FOREIGN_KEYS = """
SELECT conname::text FROM pg_constraint WHERE conrelid = to_regclass(:table) AND contype = 'f' AND conparentid = 0
"""
# Where a table was converted by hand, its sequence may still be the old table's, and be dropped with that.
_SEQUENCES = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(s.relname), quote_ident(a.attname)
FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refobjid = to_regclass(:table) AND d.deptype = 'a' ORDER BY 1
"""
_DEPENDED_ON = "2BP01"
_LISTED = 3


class Taken(Exception):  # noqa: N818 - a state, rather than a fault
    """Another session has the partition."""


class Dropper(Upkeep):
    """Drops detached partitions of a table."""

    def drop(self, own: Partition, reason: str) -> Step | None:
        """Drops a detached partition, and returns the step; None if it is gone already.

        Raises:
            Taken: another run is at it, or another session writes to it.
            MigrationError: it can't be archived or dropped.
        """
        started = time.monotonic()
        with self.writing():
            again(self.project, f"Dropping the foreign keys of {own.name}", lambda: self._drop_foreign_keys(own))
        # The lock is let go after the transaction that it is taken in.
        with ExitStack() as exits, run.transaction(self.engine) as connection:
            if not self._take(connection, own):
                return None
            saved = self._archive(connection, own)
            rows = saved.rows if saved is not None else self._count(connection, own)
            step = Step(self.declared.table, Action.DROP, own.name, reason, *own.span, rows=rows, bytes=own.bytes)
            if saved is not None:
                step = replace(step, archive=str(saved.file), sha256=saved.sha256)
            exits.enter_context(self.writing())
            again(self.project, f"Dropping {own.name}", lambda: self._drop(connection, own, step))
        return replace(step, seconds=time.monotonic() - started)

    def _drop_foreign_keys(self, own: Partition) -> None:
        """Drops them before the table: a DROP TABLE would hold the tables that they refer to for longer."""
        with short_transaction(self.engine, self.project) as connection:
            if not self._take(connection, own):
                return
            wait_briefly(connection, self.project)
            names = connection.execute(sa.text(_FOREIGN_KEYS), {"table": own.address}).scalars().all()
            if names:
                drops = ", ".join(f"DROP CONSTRAINT {quoted(name)}" for name in names)
                execute(connection, f"ALTER TABLE {own.address} {drops}")

    def _take(self, connection: sa.Connection, own: Partition) -> bool:
        """Keeps others from writing to the partition; returns False if it isn't there, or isn't to be dropped."""
        # A session that has waited for so long ends an autovacuum that is in its way.
        limit(connection, "lock_timeout", 2 * deadlock_seconds(connection))
        try:
            with connection.begin_nested():
                execute(connection, f"LOCK TABLE {own.address} IN EXCLUSIVE MODE")
        except sa.exc.DBAPIError as error:
            if met_a_lock(error):
                raise Taken from None
            if getattr(error.orig, "sqlstate", None) in ("42P01", "3F000"):
                return False
            raise
        limit(connection, "statement_timeout", 0)
        if (connection.dialect.server_version_info or ()) >= (17,):
            limit(connection, "transaction_timeout", 0)
        # It may have been attached again, or be another table of the same name.
        there = named(standing_alone(connection, self.declared.table), own.name)
        return there is not None and there.mark == own.mark

    def _archive(self, connection: sa.Connection, own: Partition) -> Archive | None:
        if self.options.archive is None:
            return None
        connection.exec_driver_sql("SET LOCAL row_security = off")  # an error rather than fewer rows
        connection.exec_driver_sql("SET LOCAL TimeZone = 'UTC'")
        run.log.info("%s: writing %s to %s", self.declared.table, own.name, self.options.archive)
        return archive.write(connection, self.options.archive, self.declared.table, own, self.project.root)

    def _count(self, connection: sa.Connection, own: Partition) -> int:
        connection.exec_driver_sql("SET LOCAL row_security = off")
        question = for_driver(f"SELECT count(*) FROM {own.address}", connection.dialect)
        return int(connection.exec_driver_sql(question).scalar_one())

    def _drop(self, connection: sa.Connection, own: Partition, step: Step) -> None:
        with connection.begin_nested():
            evidence = {
                "table": step.table,
                "low": step.low,
                "high": step.high,
                "rows": step.rows,
                "bytes": step.bytes,
                "archive": step.archive,
                "sha256": step.sha256,
            }
            record(connection, self.project, Outcome.DROPPED, f"partition {own.name}", step.reason, evidence)
            wait_briefly(connection, self.project)
            sequences = connection.execute(sa.text(_SEQUENCES), {"table": own.address}).all()
            try:
                execute(connection, f"DROP TABLE {own.address}")
            except sa.exc.DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) != _DEPENDED_ON:
                    raise
                detail = getattr(getattr(error.orig, "diag", None), "message_detail", None) or "others depend on it"
                listed = "; ".join(detail.splitlines()[:_LISTED])  # unlike other details, these quote no rows
                parent = quoted(self.declared.table)
                owned = "; ".join(f"ALTER SEQUENCE {name} OWNED BY {parent}.{column}" for name, column in sequences)
                raise MigrationError(
                    f"{own.name} is detached and can't be dropped: {listed}. {owned or 'Drop what depends on it'}; the "
                    "next run goes on."
                ) from None
