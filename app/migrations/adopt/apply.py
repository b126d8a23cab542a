"""`schema adopt --apply`: the steps under the runner's lock, then the record, then the data revisions."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from app import db
from app.migrations import run
from app.migrations.adopt.builds import Builder
from app.migrations.adopt.evidence import Proof, compared, take_evidence
from app.migrations.adopt.explanation.findings import Group
from app.migrations.adopt.locks import TableLocks
from app.migrations.adopt.look import Look, Wishes, look
from app.migrations.adopt.record import record
from app.migrations.adopt.redeclare import execute_redeclaring
from app.migrations.errors import AdoptionRefused
from app.migrations.limits import again_if_locked
from app.migrations.project import Project
from app.migrations.session import Session
from app.sql_text import for_driver

_NO_WISHES = Wishes()
_MOST_ROUNDS = 3  # a data revision may put an older comment back


@dataclass(frozen=True)
class Adoption:
    """The result of `adopt`.

    Attributes:
        look: what was there before the first step.
        proofs: the tables before and after.
        filled: data revisions that ran.
        done: false for a dry run.
        seconds: of all steps.
    """

    database: str
    look: Look
    proofs: list[Proof] = field(default_factory=list)
    filled: list[str] = field(default_factory=list)
    done: bool = False
    seconds: float = 0


def plan_adoption(project: Project, engine: sa.Engine | None = None, *, wishes: Wishes = _NO_WISHES) -> Adoption:
    """Returns what `adopt` would do. Writes nothing.

    Args:
        project: whose database.
        engine: the database; the project's if None.
        wishes: the operator's word on objects.
    """
    script = run.history(project)
    run.require_single_head(script)
    with run.reading(project, engine) as connection:
        found = look(connection, project, project.config(), script, wishes)
        return Adoption(run.shown(project, engine), found)


def adopt(
    project: Project,
    engine: sa.Engine | None = None,
    *,
    wishes: Wishes = _NO_WISHES,
    lock_timeout: float | None = None,
    live: bool = False,
) -> Adoption:
    """Brings a database that has no history to head by its facts, and records that.

    Args:
        project: whose database.
        engine: the database; the project's if None.
        wishes: as in `plan_adoption`.
        lock_timeout: as in `deploy`.
        live: a terminal shows the progress of the data revisions.

    Raises:
        AdoptionRefused: a difference needs a decision; nothing was done.
        MigrationError: a step failed. The database works for its service, and the same command goes on.
    """
    started = time.monotonic()
    script = run.history(project)
    run.require_single_head(script)
    with run.writing(project, engine, lock_timeout, live=live) as (config, held_engine):
        work = _Work(project, config, held_engine, script, wishes)
        first, proofs = work.bring_to_head()
        filled = work.fill()
        seconds = time.monotonic() - started
        return Adoption(run.shown(project, held_engine), first, proofs, filled, done=True, seconds=seconds)


class _Work:
    """One adoption, under the lock."""

    def __init__(
        self,
        project: Project,
        config: Config,
        engine: sa.Engine,
        script: ScriptDirectory,
        wishes: Wishes,
    ) -> None:
        self._project, self._config, self._engine = project, config, engine
        self._script, self._wishes = script, wishes

    def bring_to_head(self) -> tuple[Look, list[Proof]]:
        """Runs the steps and records them; does nothing if the database is adopted."""
        with db.connect(self._engine) as connection:
            found = self._look(connection)
            _refuse(found)
            if found.is_adopted:
                return found, []
            before = take_evidence(connection, found.drift.found, found.tables)
            connection.rollback()
        self._run(found)
        with db.connect(self._engine) as connection:
            after = take_evidence(connection, found.drift.found, found.tables)
        proofs = compared(before, after, found.steps.copied)
        self._again_if_locked(lambda: self._record(found, proofs))
        run.log.info("adopted: the database is at %s", found.head)
        return found, proofs

    def fill(self) -> list[str]:
        """Runs the data revisions that have rows to do, through the runner."""
        with db.connect(self._engine) as connection:
            state = run.read_status(connection, self._project, self._script, "")
        due = [revision.revision for revision in state.pending]
        if not due:
            return []
        command.upgrade(self._config, "head")
        for _ in range(_MOST_ROUNDS):
            with db.connect(self._engine) as connection:
                left = self._look(connection)
            if not left.steps.all:
                break
            self._run(left)
        return due

    def _run(self, found: Look) -> None:
        if found.steps.transaction:
            run.log.info("adopting: %d statements in one transaction", len(found.steps.transaction))
            locks = TableLocks(found.steps.transaction, found.tables, self._project.limits())
            self._again_if_locked(lambda: self._transaction(found, locks))
        builder = Builder(self._engine, self._project.limits())
        for build in found.steps.builds:
            self._require_lock()
            started = time.monotonic()
            self._again_if_locked(lambda build=build: builder.build(build))  # type: ignore[misc]
            seconds = time.monotonic() - started
            run.log.info("adopting: %s %s (%.2f s)", build.kind, build.name.partition(" ")[2], seconds)

    def _look(self, connection: sa.Connection) -> Look:
        return look(connection, self._project, self._config, self._script, self._wishes)

    def _transaction(self, found: Look, locks: TableLocks) -> None:
        with run.transaction(self._engine) as connection:
            if connection.dialect.name == "postgresql":
                locks.take(connection)
                for statement in found.steps.transaction:
                    connection.exec_driver_sql(for_driver(statement, connection.dialect))
            else:
                execute_redeclaring(connection, found.steps.transaction)

    def _record(self, found: Look, proofs: list[Proof]) -> None:
        self._require_lock()
        with run.transaction(self._engine) as connection:
            record(connection, self._project, self._script, self._look(connection), found, proofs)

    def _require_lock(self) -> None:
        held = Session.of(self._config).lock
        assert held is not None
        held()

    def _again_if_locked(self, work: Callable[[], None]) -> None:
        again_if_locked(
            work, self._project.limits().retry, "The adoption", lambda line: run.log.info("adopting: %s", line)
        )


def _refuse(found: Look) -> None:
    persons = found.explanation.of(Group.PERSON)
    if persons:
        listed = "".join(f"\n  {finding}" for finding in persons)
        raise AdoptionRefused(f"Nothing was changed, for these need a decision:{listed}")
    if found.rights:
        raise AdoptionRefused(f"Nothing was changed. {' '.join(found.rights)}")
