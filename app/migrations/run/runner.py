"""Moves a database from revision to revision: what `alembic upgrade`, `downgrade` and `stamp` run.

In this order: the lock; what must be in order (`preflight`); then each revision in a transaction of its own, with
timeouts, the version row and the ledger row in that same transaction. A revision that meets a lock is rolled back and
tried again for a while. Whatever happens, the ledger says so.
"""

import random
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.runtime.environment import EnvironmentContext

from app import db
from app.errors import met_a_lock
from app.migrations.errors import ConfigurationError
from app.migrations.project import Project
from app.migrations.run import explanations, lock, preflight, signals
from app.migrations.run.ledger_writer import Books
from app.migrations.run.limits import accepted_losses, lock_wait
from app.migrations.run.reporter import Reporter
from app.migrations.run.timeouts import StatementWatch, Timeouts
from app.migrations.session import Command, Direction, Lock, Session, Step

if TYPE_CHECKING:
    from app.migrations.data_loss import DataLoss
    from app.migrations.operations.table_copy import RebuildGuard
    from app.migrations.run.blockers import BlockerWatch

_PAUSE_SECONDS = (0.5, 10.0)


class Runner:
    """One command that moves revisions.

    Args:
        env: Alembic's environment.
        connection: what revisions run on; in no transaction.
        reporter: hears what happens.
        project: whose revisions.
        command: what the operator asked for.
    """

    def __init__(
        self,
        env: EnvironmentContext,
        connection: sa.Connection,
        reporter: Reporter,
        project: Project,
        command: Command,
    ) -> None:
        self._env = env
        self._connection = connection
        self._reporter = reporter
        self._project = project
        self._command = command
        self._plan_of = env.get_context().opts["fn"]
        self._limits = project.limits()
        self._timeouts = Timeouts(self._limits.table_lock, self._limits.statement)
        self._books = Books(connection, env.script, project.root)
        self._statements = StatementWatch(connection, self._books.cant_be_repeated)
        self._gate: DataLoss | None = None
        self._step: Step | None = None

    def run(self, **options: Any) -> None:
        """Runs the command.

        Args:
            options: for Alembic's `configure`.

        Raises:
            MigrationError: in one line, what failed. What had finished stays applied.
        """
        with ExitStack() as stack:
            held = Session.of(self._env.config).lock or stack.enter_context(self._lock())
            stack.enter_context(db.revision_transactions(self._connection))
            stack.enter_context(self._statements.watching())
            signals.hear_during_statements(self._connection)
            options["on_version_apply"] = [self._applied]
            if self._connection.dialect.name == "sqlite":
                guard = stack.enter_context(_guarded(self._connection))
                options["on_version_apply"] = [lambda **_: guard.verify(), self._applied]
            options["fn"] = lambda heads, context: self._steps(heads, context, held)
            self._env.configure(connection=self._connection, **options)
            self._until_done()

    def _lock(self) -> AbstractContextManager[Lock]:
        wait = lock_wait(self._env, self._limits.lock)
        return lock.held(self._connection.engine, wait=wait, waiting=self._reporter.waiting)

    def _until_done(self) -> None:
        deadline = None
        pause = _PAUSE_SECONDS[0]
        while True:
            blockers = self._blockers()
            try:
                with blockers.watching() if blockers else ExitStack():
                    self._try()
            except BaseException as caught:  # noqa: BLE001 - Ctrl-C too is rolled back and written down; all is raised again
                error = KeyboardInterrupt() if signals.came() else caught  # SQLite makes another error of it
                again = self._failed(error)
                now = time.monotonic()
                deadline = deadline or now + self._limits.retry
                seen = [str(blocker) for blocker in blockers.seen] if blockers and again else []
                if not again or now + pause > deadline:
                    raise self._explained(error, seen) from explanations.cause_of(error)
                self._reporter.retrying(self._step, seen, pause)
                time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads the tries, hides nothing
                pause = min(pause * 2, _PAUSE_SECONDS[1])
            else:
                return

    def _try(self) -> None:
        self._statements.start(self._timeouts, repeatable=True)
        self._preflight()
        with self._gate.guarding() if self._gate else ExitStack(), self._env.begin_transaction():
            self._env.run_migrations()
        # The version table of a database without revisions is made outside any of their transactions.
        if self._connection.in_transaction():
            self._connection.commit()

    # --- before ---------------------------------------------------------------

    def _preflight(self) -> None:
        script, context = self._env.script, self._env.get_context()
        preflight.supported(self._connection)
        preflight.one_line(script)
        heads = context.get_current_heads()
        entries = self._books.entries()
        preflight.known(script, heads, entries)
        upgrade = self._command is Command.UPGRADE
        preflight.has_history(self._connection, heads, self._project.tables, upgrade=upgrade)
        applied = {r.revision for head in heads for r in script.iterate_revisions(head, "base")}
        if upgrade:
            preflight.unedited(entries, script, applied, self._project.former_checksums)
        plan = [step for step in map(Step.of, self._plan_of(heads, context)) if step.direction is not Direction.STAMP]
        preflight.resolved(entries, plan)
        # An empty database has nothing to lose.
        guarded = bool(plan and (heads or sa.inspect(self._connection).get_table_names()))
        self._connection.rollback()
        if guarded and self._gate is None:
            from app.migrations.data_loss import DataLoss

            self._gate = DataLoss(self._connection, accepted_losses(self._env), self._reporter.note)
            self._gate.refuse(self._gate.preview(plan))

    # --- during ---------------------------------------------------------------

    def _steps(self, heads: tuple[str, ...], context: Any, held: Lock) -> Iterator[Any]:
        steps = list(self._plan_of(heads, context))
        plan = [*map(Step.of, steps)]
        if self._connection.in_transaction():
            self._connection.commit()
        self._books.open(plan, self._reporter.crashed)
        if plan:
            preflight.resolved(self._books.entries(), plan)
        for step, alembic_step in zip(plan, steps, strict=True):
            held.check()
            self._begin(step)
            yield alembic_step
            self._step = None
        self._reporter.finished(len(plan))

    def _begin(self, step: Step) -> None:
        self._step = step
        self._books.begin(step)
        try:
            timeouts = self._timeouts.declared_by(step.module)
        except ValueError as error:
            raise ConfigurationError(f"The revision {step.revision}: {error}.") from None
        self._statements.start(timeouts, repeatable=bool(getattr(step.module, "repeatable", False)))
        if self._gate:
            self._gate.before(step)
        self._reporter.begins(step)

    def _applied(self, **_: Any) -> None:
        """Called by Alembic inside the revision's transaction, after it has written the version."""
        self._statements.start(self._timeouts, repeatable=True)
        if self._gate and self._step:
            self._gate.after(self._step)
        self._reporter.ended(self._step, self._books.applied(self._gate.consented if self._gate else None))

    # --- after a failure ------------------------------------------------------

    def _failed(self, error: BaseException) -> bool:
        """Rolls back, writes the failure down, and says whether to try again."""
        self._statements.start(self._timeouts, repeatable=True)
        if self._gate:
            self._gate.failed(error)
        return self._books.failed(error) and met_a_lock(error) and not self._books.half_done

    def _explained(self, error: BaseException, blockers: list[str]) -> BaseException:
        revision = self._step.revision if self._step is not None else None
        return explanations.explained(error, revision, blockers, half_done=self._books.half_done)

    def _blockers(self) -> "BlockerWatch | None":
        if self._connection.dialect.name != "postgresql":
            return None
        from app.migrations.run.blockers import BlockerWatch

        driver: Any = self._connection.connection.driver_connection
        pid = driver.info.backend_pid
        return BlockerWatch(self._connection.engine, pid, lambda found: self._reporter.blocked(self._step, found))


@contextmanager
def _guarded(connection: sa.Connection) -> Iterator["RebuildGuard"]:
    from app.migrations.operations.table_copy import RebuildGuard

    driver: Any = connection.connection.driver_connection
    guard = RebuildGuard(lambda question: driver.execute(question).fetchall(), driver.execute)

    def before(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        guard.before(statement)

    def after(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        guard.after(statement)

    sa.event.listen(connection, "before_cursor_execute", before)
    sa.event.listen(connection, "after_cursor_execute", after)
    try:
        yield guard
    finally:
        sa.event.remove(connection, "before_cursor_execute", before)
        sa.event.remove(connection, "after_cursor_execute", after)
