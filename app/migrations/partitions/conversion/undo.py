"""`schema partitions enable --undo`: a table is made plain again, as long as every later partition is empty."""

from collections.abc import Iterator
from dataclasses import replace

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from app import db
from app.migrations import run
from app.migrations.ahead import bound_check, key_index
from app.migrations.errors import refused
from app.migrations.limits import without_limits
from app.migrations.operations import CatalogTable, add_foreign_key
from app.migrations.partitions.conversion.look import declared_as, require_postgresql
from app.migrations.partitions.conversion.plan import ALL, NOBODY, Plan, Step, drop_key_statement, key_index_statement
from app.migrations.partitions.conversion.undo_look import (
    Reference,
    UndoLook,
    closed,
    look_back,
    quick_look_back,
    refusals_of,
    require_former,
)
from app.migrations.partitions.conversion.undo_statements import comment_on, undo_locks, undo_statements
from app.migrations.partitions.conversion.work import Work, finish
from app.migrations.partitions.transactions import execute, has_rows, outside, record
from app.migrations.project import Project
from app.migrations.run import Outcome
from app.migrations.snapshots import quote

_UNIQUE_VIOLATION = "23505"


def plan_undo(project: Project, table: str, engine: sa.Engine | None = None) -> Plan:
    """Returns what `undo` would do. Writes nothing.

    Raises:
        MigrationError: the table isn't declared, or revisions are pending.
    """
    declared = declared_as(project, table)
    with run.reading(project, engine) as connection:
        require_postgresql(connection, table)
        found = look_back(connection, project, project.config(), declared)
        return _plan(found, run.shown(project, engine))


def undo(project: Project, table: str, engine: sa.Engine | None = None, *, lock_timeout: float | None = None) -> Plan:
    """Makes a table plain again; arguments as of `enable`.

    Raises:
        MigrationError: something is in the way, or a step failed. The service goes on, and the same command as well.
    """
    return finish(_WayBack, project, table, engine, lock_timeout)


def _plan(found: UndoLook, database: str) -> Plan:
    declared = found.table.declared
    plan = Plan(database, declared.table, declared.by, "ready", is_undo=True, refusals=found.refusals)
    if found.refusals:
        return replace(plan, code="refused")
    if found.is_done:
        return replace(plan, code="nothing")
    return replace(plan, steps=[*_steps(found)])


def _steps(found: UndoLook) -> Iterator[Step]:
    facts = found.table.facts
    if found.table.has_begun:
        yield Step("What an unfinished conversion has left goes", _leftovers(found), f"on {facts.name}", ALL)
    if found.table.is_partitioned:
        former, own = require_former(found)
        if not found.keeps_key:
            columns = ", ".join(found.table.declared.key)
            statements = _build_statements(found)
            lock = f"SHARE UPDATE EXCLUSIVE on {former.name}, as VACUUM"
            yield Step(f"The key ({columns}) is built", statements, lock, NOBODY, done=not statements)
        modes = "; ".join(f"{mode} on {table.rpartition('.')[2]}" for table, mode in undo_locks(found).items())
        title = f"{own.name} becomes {facts.name} again, and {len(found.empty)} empty partitions go: one transaction"
        yield Step(title, undo_statements(found), modes, ALL)
    if statements := [_proof(one) for one in found.references if not one.is_valid]:
        yield Step("The foreign keys that point at it are proved", statements, "SHARE UPDATE EXCLUSIVE", NOBODY)


def _leftovers(found: UndoLook) -> list[str]:
    facts = found.table.facts
    check = facts.constraint(bound_check(facts.name))
    drop = f"ALTER TABLE {facts.address} DROP CONSTRAINT {quote(bound_check(facts.name))}"
    index = facts.index(key_index(facts.name))
    statements = [drop] if check is not None else []
    return [drop_key_statement(facts, index.name), *statements] if index is not None else statements


def _build_statements(found: UndoLook) -> list[str]:
    """Returns the statements that build the key of the plain table, on its partition; none if it is there."""
    former, own = require_former(found)
    index, key = own.index(found.plain_key), own.primary_key
    assert key is not None
    if index is not None and index.is_valid:
        return []
    dropped = [drop_key_statement(own, found.plain_key)] if index is not None else []
    columns = [*found.table.declared.key]
    like = own.index_of(key.name).name
    return [*dropped, key_index_statement(own, like, columns, found.plain_key, former.address)]


def _proof(one: Reference) -> str:
    change = "VALIDATE CONSTRAINT" if not one.is_partitioned or one.is_there else "ADD CONSTRAINT"
    definition = "" if change.startswith("VALIDATE") else f" {one.definition}"
    return f"ALTER TABLE {one.table} {change} {quote(one.name)}{definition}"


def prove(engine: sa.Engine, one: Reference) -> None:
    """Validates a foreign key; adds it to a table with partitions, from partition to partition."""
    if one.is_partitioned and not one.is_there:
        with db.connect(engine) as connected:
            connection = connected.execution_options(isolation_level="AUTOCOMMIT")
            operations = Operations(MigrationContext.configure(connection))
            table = CatalogTable(operations, one.table)
            add_foreign_key(table, one.name, f"CONSTRAINT {quote(one.name)} {one.definition}")
            execute(connection, *comment_on(one))
        return
    with run.transaction(engine) as connection:
        without_limits(connection)
        execute(connection, _proof(one))


class _WayBack(Work):
    """One way back, under the migration lock."""

    done = "made plain"

    def go_on(self) -> Plan | None:
        """Does what is left; returns None if a table stays in use."""
        with db.connect(self._engine) as connection:
            found = look_back(connection, self._project, self._config, self._declared)
            plan = _plan(found, "")
        if found.refusals:
            self._refuse(found.refusals)
        done = self._leave(found) if found.table.has_begun else True
        if found.table.is_partitioned:
            self._build_key(found)
            done = self._swap(found)
        if not done:
            return None
        self._prove(found)
        return self._done(plan)

    def _leave(self, found: UndoLook) -> bool:
        """Takes away what an unfinished conversion has left on the plain table."""
        facts, statements = found.table.facts, _leftovers(found)
        indexes = [one for one in statements if one.startswith("DROP INDEX")]
        checks = [one for one in statements if one not in indexes]

        def work(connection: sa.Connection) -> None:
            self._brief.look(connection, facts.address)
            self._brief.lock(connection, {facts.address: "ACCESS EXCLUSIVE"})
            execute(connection, *checks)

        if indexes:
            with outside(self._engine) as connection:
                execute(connection, *indexes)
        if checks and not self._brief.until_free(work, [facts.address]):  # last: its mark tells of the conversion
            return False
        self._say("an unfinished conversion was taken back")
        return True

    def _build_key(self, found: UndoLook) -> None:
        if found.keeps_key:
            return
        statements = _build_statements(found)
        if not statements:
            return
        self._say(f"building the index {found.plain_key}; nobody waits for it")
        try:
            with outside(self._engine) as connection:
                execute(connection, *statements)
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _UNIQUE_VIOLATION:
                raise refused(error, f"{self._declared.table}: building {found.plain_key}") from None
            with outside(self._engine) as connection:
                execute(connection, drop_key_statement(require_former(found)[1], found.plain_key))
            columns = ", ".join(map(quote, self._declared.key))
            query = f"SELECT {columns} FROM {found.table.facts.address} GROUP BY {columns} HAVING count(*) > 1"
            names = ", ".join(self._declared.key)
            self._refuse(
                [f"two rows have the same {names}, which the plain table would keep unique: delete one: {query}"]
            )

    def _swap(self, found: UndoLook) -> bool:
        def work(connection: sa.Connection) -> None:
            self._brief.look(connection, found.table.facts.address)
            current = quick_look_back(connection, self._declared, found.expected)
            if lines := refusals_of(connection, current):
                self._refuse(lines)
            statements = undo_statements(current)
            self._brief.lock(connection, undo_locks(current))
            if lines := [closed(one) for one in current.empty if has_rows(connection, one.address)]:
                self._refuse(lines)
            execute(connection, *statements)
            former, _ = require_former(current)
            evidence = {"partition": former.name, "dropped": [one.name for one in current.empty]}
            reason = f"{former.name} took its place again, {len(current.empty)} empty partitions went"
            record(connection, self._project, Outcome.PLAIN, f"table {self._declared.table}", reason, evidence)

        passed = self._brief.until_free(work, [*undo_locks(found)])
        if passed:
            self._say(f"plain again; its tables were locked for {self._brief.held_seconds * 1000:.0f} ms")
        return passed

    def _prove(self, found: UndoLook) -> None:
        for one in found.references:
            if one.is_valid:
                continue
            self._say(f"reading {one.table}, to prove {one.name}")
            try:
                prove(self._engine, one)
            except sa.exc.DBAPIError as error:
                subject = (
                    f"{self._declared.table} is plain again, and {one.name} isn't proved yet: delete the rows of "
                    f"{one.table} that refer to none, and run the same command again"
                )
                raise refused(error, subject) from None
