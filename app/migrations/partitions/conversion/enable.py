"""`schema partitions enable`: a plain table becomes the first partition of a new one, while its service goes on.

Each step looks at the catalog first, so that a run that was killed is finished by the same command. Nothing is copied.
While another session uses the tables, the migration lock is released from time to time for a deploy.
"""

from dataclasses import replace

import sqlalchemy as sa

from app import db
from app.migrations import run
from app.migrations.ahead import key_index
from app.migrations.errors import refused
from app.migrations.limits import without_limits
from app.migrations.partitions.analysis import is_analyzed
from app.migrations.partitions.conversion.look import TOO_NEAR, Look, declared_as, look, quick_look, require_postgresql
from app.migrations.partitions.conversion.plan import (
    Plan,
    analyze_statement,
    check_statements,
    drop_key_statement,
    key_statement,
    plan_of,
    validate_statement,
)
from app.migrations.partitions.conversion.swap import locks, swap_statements
from app.migrations.partitions.conversion.work import Work, finish
from app.migrations.partitions.creation import create_ahead
from app.migrations.partitions.transactions import execute, outside, record
from app.migrations.project import Project
from app.migrations.run import Outcome


def plan_enable(project: Project, table: str, engine: sa.Engine | None = None) -> Plan:
    """Returns what `enable` would do. Writes nothing.

    Raises:
        MigrationError: the table isn't declared, or revisions are pending.
    """
    with run.reading(project, engine) as connection:
        require_postgresql(connection, table)
        found = look(connection, project, project.config(), declared_as(project, table))
        return plan_of(found, run.shown(project, engine))


def enable(project: Project, table: str, engine: sa.Engine | None = None, *, lock_timeout: float | None = None) -> Plan:
    """Converts a table.

    Args:
        project: whose database.
        table: its name.
        engine: the database; the project's if None.
        lock_timeout: the longest wait for another migration, in seconds; else the project's limit.

    Raises:
        MigrationError: something is in the way, or a step failed. The service goes on, and the same command as well.
    """
    return finish(_Conversion, project, table, engine, lock_timeout)


class _Conversion(Work):
    """One conversion, under the migration lock."""

    done = "converted"

    def go_on(self) -> Plan | None:
        """Does what is left; returns None if a table stays in use."""
        with db.connect(self._engine) as connection:
            found = look(connection, self._project, self._config, self._declared, patient=True)
        if found.refusals:
            self._refuse(found.refusals)
        plan = plan_of(found, "")
        if not found.is_partitioned and not self._convert(found):
            return None
        created = create_ahead(self._project, self._engine, self._declared)
        self._analyze()
        return replace(self._done(plan), created=[partition.name for partition in created])

    def _convert(self, found: Look) -> bool:
        if (found.bound is None or found.is_near) and not self._bound(found):
            return False
        self._prove()
        self._build_key()
        return self._swap(found)

    def _bound(self, found: Look) -> bool:
        """Adds the CHECK, or moves its bound."""
        table = found.facts.address

        def work(connection: sa.Connection) -> None:
            self._brief.look(connection, table)
            current = self._fresh(connection, found)
            self._brief.lock(connection, {table: "ACCESS EXCLUSIVE"})
            execute(connection, *check_statements(current.target))

        self._say(f"no row may lie after {found.wanted_bound} UTC from now on")
        return self._brief.until_free(work, [table])

    def _fresh(self, connection: sa.Connection, found: Look) -> Look:
        """Looks at the table again, under a lock that keeps it as it is."""
        current = quick_look(connection, self._declared)
        return replace(current, estimate=found.estimate, newest=found.newest)

    def _prove(self) -> None:
        with run.transaction(self._engine) as connection:
            found = quick_look(connection, self._declared)
            if found.is_proved:
                return
            self._say("reading the table, to prove that")
            without_limits(connection)
            try:
                execute(connection, validate_statement(found.facts))
            except sa.exc.DBAPIError as error:
                raise refused(error, f"{self._declared.table}: a row is in the way") from None

    def _build_key(self) -> None:
        with db.connect(self._engine) as connection:
            found = quick_look(connection, self._declared)
        if found.has_key:
            return
        name = key_index(found.facts.name)
        self._say(f"building the index {name}; it waits for transactions that are older, and nobody waits for it")
        statements = [drop_key_statement(found.facts, name)] if found.has_broken_key else []
        try:
            with outside(self._engine) as connection:
                execute(connection, *statements, key_statement(found.target))
        except sa.exc.DBAPIError as error:
            raise refused(error, f"{self._declared.table}: building {name}") from None

    def _swap(self, found: Look) -> bool:
        table = found.facts.address

        def work(connection: sa.Connection) -> None:
            self._brief.look(connection, table)
            current = self._fresh(connection, found)
            assert current.bound is not None
            if current.bound - current.now < TOO_NEAR:
                raise _TooNear
            target = current.target
            statements = swap_statements(target)
            self._brief.lock(connection, locks(current.facts))
            execute(connection, *statements)
            evidence = {
                "by": target.by,
                "bound": target.bound,
                "partition": target.partition,
                "foreign_keys": [f"{one.table}: {one.name} {one.definition}" for one in current.facts.incoming],
            }
            reason = f"by {target.by}; {target.partition} ends at {target.bound} UTC"
            record(connection, self._project, Outcome.PARTITIONED, f"table {self._declared.table}", reason, evidence)

        try:
            passed = self._brief.until_free(work, [*locks(found.facts)])
        except _TooNear:
            return False  # the next look moves the bound
        if passed:
            self._say(f"partitioned; its tables were locked for {self._brief.held_seconds * 1000:.0f} ms")
        return passed

    def _analyze(self) -> None:
        """Gives the planner its statistics: no autovacuum collects those of a partitioned table."""
        with run.transaction(self._engine) as connection:
            facts = quick_look(connection, self._declared).facts
            if is_analyzed(connection, facts.address):
                return
            without_limits(connection)
            execute(connection, analyze_statement(facts))


class _TooNear(Exception):  # noqa: N818 - a state, rather than a fault
    """The bound is so near that rows beyond it may come before the swap."""
