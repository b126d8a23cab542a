"""Moves a database from revision to revision: what `alembic upgrade`, `downgrade` and `stamp` run.

In this order: the lock; what must be in order (`preflight`); then each revision in a transaction of its own, with
time-outs, the version row and the ledger row in that same transaction. A revision that meets a lock is rolled back and
tried again for a while.
"""

import random
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.runtime.environment import EnvironmentContext
from alembic.util import CommandError

from app import db, server_session
from app.errors import met_a_lock
from app.migrations import own_tables, x_options
from app.migrations.errors import LockNotObtained
from app.migrations.guard import Guard, StatementHook
from app.migrations.line import Line, Place
from app.migrations.phases import Phase, Stop, until_stop
from app.migrations.project import Project
from app.migrations.run import catch_up, explanations, lock, preflight, signals
from app.migrations.run.ledger_writer import LedgerWriter
from app.migrations.run.reporter import Reporter
from app.migrations.run.timeouts import TimeoutGuard
from app.migrations.session import Command, Direction, LockCheck, Session, Step

if TYPE_CHECKING:
    from app.migrations.data_loss import DataLoss
    from app.migrations.run.blockers import Blocker

_PAUSE_SECONDS = (0.5, 10.0)


class Runner:
    """One command that moves revisions.

    Args:
        env: Alembic's environment.
        connection: what revisions run on; in no transaction.
        reporter: hears what happens.
        project: whose revisions.
        command: what the operator asked for.
        phase: the last phase that an upgrade runs; None for all.
    """

    def __init__(
        self,
        env: EnvironmentContext,
        connection: sa.Connection,
        reporter: Reporter,
        project: Project,
        command: Command,
        phase: Phase | None = None,
    ) -> None:
        self._env = env
        self._connection = connection
        self._reporter = reporter
        self._project = project
        self._command = command
        self._phase = phase
        self._stop: Stop | None = None
        self._plan_of = env.context_opts["fn"]
        self._limits = project.limits()
        self._ledger = LedgerWriter(connection, env.script, project.root, self._consented)
        self._timeouts = TimeoutGuard(connection, self._limits, self._ledger.mark_unrepeatable)
        self._data_loss: DataLoss | None = None
        self._hook = StatementHook(connection)
        self._is_settled = False
        self._step: Step | None = None
        self._finished: Step | None = None
        self._blockers: list[Blocker] = []

    def run(self, **options: Any) -> None:
        """Runs the command.

        Args:
            options: for Alembic's `configure`.

        Raises:
            MigrationError: in one line, what failed. What had finished stays applied.
        """
        still_held: LockCheck
        options["fn"] = lambda heads, context: self._steps(heads, context, still_held)
        self._env.configure(connection=self._connection, on_version_apply=self._after, **options)
        if self._finds_nothing_to_do():
            self._reporter.finished(0)
            return
        with ExitStack() as stack:
            still_held = Session.of(self._env.config).lock or stack.enter_context(self._lock())
            stack.enter_context(db.revision_transactions(self._connection))
            stack.enter_context(self._timeouts.restored_at_the_end())
            stack.enter_context(self._hook.listening())
            signals.hear_during_statements(self._connection)
            self._hook.guards = self._guards()
            self._until_done(still_held)

    def _guards(self) -> list[Guard]:
        """Lists the guards, in the order in which they hear of everything.

        Table copies come first: what they owe from the statement before, such as triggers, must be back before rows at
        risk are looked for. Data loss precedes time-outs: a statement that is refused must not be noted as one that
        can't be run again. The ledger comes after both, for its row names what was consented to. The reporter is last,
        so that a line on the screen is true.
        """
        guards: list[Guard] = [self._timeouts, self._ledger, self._reporter]
        if self._data_loss is not None:
            guards = [self._data_loss, *guards]
        if self._connection.dialect.name == "sqlite":
            from app.migrations.operations import TableCopies

            guards = [TableCopies.of(self._connection), *guards]
        return guards

    def _lock(self) -> AbstractContextManager[LockCheck]:
        wait = x_options.lock_wait(self._env, self._limits.lock)
        return lock.held(self._connection.engine, wait=wait, waiting=self._reporter.waiting)

    def _until_done(self, still_held: LockCheck) -> None:
        deadline = None
        pause = _PAUSE_SECONDS[0]
        while True:
            self._blockers, watching = [], self._watching_blockers()
            try:
                with watching:
                    self._try(still_held)
            except BaseException as caught:  # noqa: BLE001 - Ctrl-C too is rolled back and written down; all is raised again
                error = signals.meant(caught, self._connection)
                again = self._failed(error)
                now = time.monotonic()
                deadline = deadline or now + self._limits.retry
                seen = [str(blocker) for blocker in self._blockers] if again else []
                if not again or now + pause > deadline:
                    left = explanations.Left(half_done=self._ledger.half_done, kept=self._hook.kept)
                    explained = explanations.explain(error, self._step, seen, left)
                    raise explained from explanations.cause_of(error)
                self._reporter.retrying(self._step, seen, pause, kept=self._hook.kept)
                time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads the tries, hides nothing
                pause = min(pause * 2, _PAUSE_SECONDS[1])
            else:
                return

    def _try(self, still_held: LockCheck) -> None:
        if self._preflight():
            self._ledger.open(self._reporter.crashed)
            self._settle(still_held)
        with self._env.begin_transaction():
            self._env.run_migrations()
        self._settle(still_held)
        # The version table of a database without revisions is made outside any of their transactions.
        if self._connection.in_transaction():
            self._connection.commit()

    @cached_property
    def _line(self) -> Line:
        return preflight.line_of(self._env.script)  # reads every revision's file, and a run asks three times

    def _place(self, heads: tuple[str, ...]) -> Place:
        return self._line.place(heads, self._ledger.entries())

    def _plan(self, heads: tuple[str, ...], context: Any, place: Place) -> list[Any]:
        """Returns Alembic's steps up to the stop; before those of an upgrade, what is missing below the version."""
        if self._command is not Command.UPGRADE:
            return list(self._plan_of(heads, context))
        steps = [*catch_up.missing_steps(self._env.script, place), *self._plan_of(place.rows or heads, context)]
        steps, self._stop = until_stop(steps, self._phase, Step.of)
        return steps

    def _settle(self, still_held: LockCheck) -> None:
        if self._command is Command.UPGRADE and not self._is_settled:
            heads = own_tables.version_rows(self._connection)
            place = self._place(heads)
            self._connection.rollback()
            if {*heads} != {*place.rows}:
                self._require_lock(still_held, None)
                catch_up.settle(self._connection, self._ledger.books(), place, heads)

    def _finds_nothing_to_do(self) -> bool:
        """Returns whether a glance shows that an upgrade has nothing to do; whatever else it shows is seen again."""
        if self._command is not Command.UPGRADE or Session.of(self._env.config).lock is not None:
            return False
        with suppress(CommandError, sa.exc.SQLAlchemyError), lock.glance(self._connection) as is_held:
            heads = own_tables.version_rows(self._connection) if is_held else ()
            if heads and [*heads] == self._env.script.get_heads():
                place, steps = self._look(heads)
                return not steps and place.rows == heads
        return False

    def _preflight(self) -> bool:
        """Makes sure that all is in order; returns whether there is anything to do."""
        heads = own_tables.version_rows(self._connection)
        place, steps = self._look(heads)
        plan = [step for step in steps if step.direction is not Direction.STAMP]
        # An empty database has nothing to lose.
        rows_at_risk = bool(plan and (heads or own_tables.tables(self._connection)))
        self._connection.rollback()
        if rows_at_risk and self._data_loss is None:
            self._refuse_losses(plan)
        self._is_settled = {*heads} == {*place.rows} and not place.missing
        return bool(steps) or not self._is_settled

    def _look(self, heads: tuple[str, ...]) -> tuple[Place, list[Step]]:
        """Makes sure that history and ledger are in order; returns the database's place and the steps from there."""
        context = self._env.get_context()
        preflight.require_supported(self._connection)
        entries = self._ledger.entries()
        preflight.require_known_heads(self._line, heads, entries)
        place = self._line.place(heads, entries)
        if self._command is Command.UPGRADE:
            preflight.require_history(self._connection, heads, self._project.tables)
            if changed := preflight.edited(entries, self._line, place.applied, self._project.former_checksums):
                raise preflight.edited_revision(changed[0])
        if self._command is Command.DOWNGRADE:
            preflight.require_settled(place, heads)
        steps = [*map(Step.of, self._plan(heads, context, place))]
        plan = [step for step in steps if step.direction is not Direction.STAMP]
        applied = place.applied if self._command is Command.UPGRADE else ()
        preflight.require_resolved(entries, [step.revision for step in plan], applied)
        return place, steps

    def _refuse_losses(self, plan: list[Step]) -> None:
        from app.migrations.data_loss import DataLoss

        self._data_loss = DataLoss(self._connection, x_options.accepted_losses(self._env), self._reporter.note)
        self._data_loss.refuse(plan)
        self._hook.guards = self._guards()

    def _steps(self, heads: tuple[str, ...], context: Any, still_held: LockCheck) -> Iterator[Any]:
        """Gives Alembic its steps one by one; between two of them control is here."""
        steps = self._plan(heads, context, self._place(heads))
        plan = [*map(Step.of, steps)]
        if self._connection.in_transaction():
            self._connection.commit()
        self._ledger.begin(plan)
        for step, alembic_step in zip(plan, steps, strict=True):
            self._require_lock(still_held, step)
            self._step = step
            self._hook.kept = False
            for guard in self._hook.guards:
                guard.before(step)
            self._hook.step_at_work = True
            if isinstance(alembic_step, catch_up.DueStep):
                with context.begin_transaction(_per_migration=True):
                    alembic_step.migration_fn()
                    self._after()
            else:
                yield alembic_step
            for guard in self._hook.guards:  # Alembic asks for the next step after it has committed this one
                guard.committed(step)
            self._step, self._finished = None, step
        by_schema = Session.of(self._env.config).called_by_schema
        self._reporter.finished(len(plan), self._stop.text(by_schema=by_schema) if self._stop is not None else "")

    def _require_lock(self, still_held: LockCheck, following: Step | None) -> None:
        """Raises `LockNotObtained` between two steps if the lock was lost."""
        try:
            still_held()
        except LockNotObtained as error:
            before, after = following and following.revision, self._finished and self._finished.revision
            stopped = f"before the revision {before}" if before else "after the last revision"
            done = f"{after} had finished, and stays applied" if after else "nothing had begun"
            raise LockNotObtained(
                f"{error}: stopping {stopped}. No revision was running: {done}. See what that run has done (schema "
                "status), and run the same command again."
            ) from None

    def _after(self, *_: Any, **__: Any) -> None:
        """Ends a step: Alembic calls this in the revision's transaction, after it has written the version."""
        assert self._step is not None
        self._hook.step_at_work = False
        for guard in self._hook.guards:
            guard.after(self._step)

    def _consented(self) -> str | None:
        return self._data_loss.consented if self._data_loss is not None else None

    def _failed(self, error: BaseException) -> bool:
        """Rolls back, writes the failure down, and returns whether to try again."""
        self._hook.step_at_work = False
        for guard in self._hook.guards:
            guard.failed(error)
        return self._ledger.knows_of_failure and met_a_lock(error) and not self._ledger.half_done

    def _watching_blockers(self) -> AbstractContextManager[None]:
        # Behind a pooler the server's process is another in each transaction.
        if self._connection.dialect.name != "postgresql" or server_session.is_pooled(self._connection):
            return nullcontext()
        from app.migrations.run import blockers

        driver: Any = self._connection.connection.driver_connection
        return blockers.watching(self._connection.engine, driver.info.backend_pid, self._blocked)

    def _blocked(self, blockers: "list[Blocker]") -> None:
        self._blockers = blockers or self._blockers
        self._reporter.blocked(self._step, blockers)
