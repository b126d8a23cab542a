"""Moves a database from revision to revision: what `alembic upgrade`, `downgrade` and `stamp` run.

In this order: the lock; what must be in order (`preflight`); then each revision in a transaction of its own, with
timeouts, the version row and the ledger row in that same transaction. A revision that meets a lock is rolled back and
tried again for a while. Whatever happens, the ledger says so.
"""

import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Any

import sqlalchemy as sa
from alembic.runtime.environment import EnvironmentContext
from alembic.util import CommandError

from app import db, settings
from app.backfill import BackfillError
from app.ciphers import CipherError
from app.migrations import lock, preflight
from app.migrations.blockers import BlockerWatch
from app.migrations.errors import ConfigurationError, HistoryError, Interrupted, MigrationError
from app.migrations.ledger import Direction, Failure, Ledger, Outcome
from app.migrations.progress import Progress
from app.migrations.rebuilds import RebuildGuard
from app.migrations.statements import StatementWatch, Timeouts
from app.settings import SettingsError

LOCK_NOT_AVAILABLE = "55P03"
DEADLOCK_DETECTED = "40P01"
_PAUSE_SECONDS = (0.5, 10.0)


class Runner:
    """One command that moves revisions.

    Args:
        env: Alembic's environment.
        connection: what revisions run on; in no transaction.
        progress: hears what happens.
        our_tables: names the tables of the models.
    """

    def __init__(
        self,
        env: EnvironmentContext,
        connection: sa.Connection,
        progress: Progress,
        our_tables: Callable[[], list[str]],
    ) -> None:
        options = settings.load()
        self._env = env
        self._connection = connection
        self._progress = progress
        self._our_tables = our_tables
        self._plan_of = env.get_context().opts["fn"]
        self._timeouts = Timeouts(
            options.number("SCHEMA_TABLE_LOCK_TIMEOUT", 3), options.number("SCHEMA_STATEMENT_TIMEOUT", 60)
        )
        self._lock_wait = _seconds(env.get_x_argument(as_dictionary=True), options.number("SCHEMA_LOCK_TIMEOUT", 60))
        self._patience = options.number("SCHEMA_RETRY_TIMEOUT", 120)
        self._ledger = Ledger(connection)
        self._statements = StatementWatch(connection, self._cant_be_repeated)
        self._step: Any = None
        self._entry: int | None = None
        self._next: list[Any] = []
        self._started = 0.0
        self._wrote = False

    def run(self, **options: Any) -> None:
        """Runs the command.

        Args:
            options: for Alembic's `configure`.

        Raises:
            MigrationError: in one line, what failed. What had finished stays applied.
        """
        with ExitStack() as stack:
            stack.enter_context(_ended_politely(on_command_line=self._env.config.cmd_opts is not None))
            held = self._env.config.attributes.get("lock") or stack.enter_context(
                lock.held(self._connection.engine, wait=self._lock_wait, waiting=self._progress.waiting)
            )
            stack.enter_context(db.revision_transactions(self._connection))
            stack.enter_context(self._statements.watching())
            options["on_version_apply"] = [self._applied]
            if self._connection.dialect.name == "sqlite":
                guard = stack.enter_context(_guarded(self._connection))
                options["on_version_apply"] = [lambda **_: guard.verify(), self._applied]
            options["fn"] = lambda heads, context: self._steps(heads, context, held)
            self._env.configure(connection=self._connection, **options)
            self._preflight()
            self._until_done()

    # --- before ---------------------------------------------------------------

    def _preflight(self) -> None:
        script, context = self._env.script, self._env.get_context()
        preflight.one_line(script)
        heads = context.get_current_heads()
        entries = self._ledger.entries()
        preflight.known(script, heads, entries)
        upgrade = self._plan_of.__name__ == "upgrade"
        preflight.has_history(self._connection, heads, self._our_tables, upgrade=upgrade)
        applied = {r.revision for head in heads for r in script.iterate_revisions(head, "base")}
        if upgrade:
            preflight.unedited(entries, script, applied)
        self._connection.rollback()

    # --- during ---------------------------------------------------------------

    def _until_done(self) -> None:
        deadline = None
        pause = _PAUSE_SECONDS[0]
        while True:
            blockers = self._blockers()
            try:
                with blockers.watching() if blockers else ExitStack(), self._env.begin_transaction():
                    self._env.run_migrations()
                # The version table of a database without revisions is made outside any of their transactions.
                if self._connection.in_transaction():
                    self._connection.commit()
            except BaseException as error:  # noqa: BLE001 - Ctrl-C too is rolled back and written down; all is raised again
                again = self._failed(error)
                now = time.monotonic()
                deadline = deadline or now + self._patience
                seen = [str(blocker) for blocker in blockers.seen] if blockers else []
                if not again or now + pause > deadline:
                    raise self._as_operator_error(error, seen if again else []) from _cause(error)
                self._progress.retrying(self._step, seen, pause)
                time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads the tries, hides nothing
                pause = min(pause * 2, _PAUSE_SECONDS[1])
            else:
                return

    def _steps(self, heads: tuple[str, ...], context: Any, held: lock.Lock) -> Iterator[Any]:
        plan = list(self._plan_of(heads, context))
        preflight.resolved(self._ledger.entries(), plan)
        if self._connection.in_transaction():
            self._connection.commit()
        if plan and not self._wrote:
            self._ledger.create()
            for entry in self._ledger.close_crashed():
                self._progress.crashed(entry)
            self._wrote = True
        self._entry = None
        self._next = plan
        for step in plan:
            held.check()
            self._begin(step)
            yield step
        self._progress.finished(len(plan))

    def _begin(self, step: Any) -> None:
        self._step = step
        self._next = self._next[1:]
        if self._entry is None:
            self._entry = self._announce(step)
            self._connection.commit()
        module = step.revision.module if not step.info.is_stamp else None
        try:
            timeouts = self._timeouts.declared_by(module)
        except ValueError as error:
            raise ConfigurationError(f"The revision {step.revision.revision}: {error}.") from None
        self._statements.start(timeouts, repeatable=bool(getattr(module, "repeatable", False)))
        self._started = time.monotonic()
        self._progress.begins(step)

    def _announce(self, step: Any) -> int:
        checksum = preflight.checksum_of(step.info.up_revision) if step.info.up_revision else None
        return self._ledger.begin(_revision_of(step), _direction(step), checksum)

    def _applied(self, **_: Any) -> None:
        """Called by Alembic inside the revision's transaction, after it has written the version."""
        self._statements.stop()
        assert self._entry is not None
        seconds = time.monotonic() - self._started
        self._ledger.finish(self._entry, Outcome.APPLIED, seconds)
        # The next one's row goes along: a commit less for each revision.
        self._entry = self._announce(self._next[0]) if self._next else None
        self._progress.ended(self._step, seconds)

    def _cant_be_repeated(self) -> None:
        driver: Any = self._connection.connection.driver_connection
        driver.execute(f"UPDATE schema_ledger SET repeatable = false WHERE id = {self._entry:d}")

    # --- after a failure ------------------------------------------------------

    def _failed(self, error: BaseException) -> bool:
        """Rolls back, writes the failure down, and says whether to try again."""
        self._statements.stop()
        again = False
        with suppress(sa.exc.DBAPIError):
            if not self._connection.invalidated:
                self._connection.rollback()
            if self._entry is not None:
                self._ledger.finish(self._entry, Outcome.FAILED, time.monotonic() - self._started, Failure.of(error))
                self._connection.commit()
                again = _met_a_lock(error) and self._repeatable(self._entry)
        return again

    def _repeatable(self, entry: int) -> bool:
        repeatable = next(e.repeatable for e in self._ledger.entries() if e.id == entry)
        self._connection.rollback()
        return repeatable

    def _blockers(self) -> BlockerWatch | None:
        if self._connection.dialect.name != "postgresql":
            return None
        driver: Any = self._connection.connection.driver_connection
        return BlockerWatch(self._connection.engine, driver.info.backend_pid)

    def _as_operator_error(self, error: BaseException, blockers: list[str]) -> BaseException:
        what = f"The revision {_revision_of(self._step)}" if self._step is not None else "The migration"
        if isinstance(error, KeyboardInterrupt):
            if self._env.config.cmd_opts is None:
                return error
            return Interrupted(f"{what} was interrupted and rolled back; what had finished stays applied.")
        if isinstance(error, MigrationError) or not isinstance(error, Exception):
            return error
        if isinstance(error, CipherError | SettingsError | BackfillError):
            kind = MigrationError if isinstance(error, BackfillError) else ConfigurationError
            return kind(f"{what}: {error}")
        if isinstance(error, CommandError) and self._step is None:
            return HistoryError(str(error)) if "Multiple head" in str(error) else ConfigurationError(str(error))
        return MigrationError(_explained(what, error, blockers))


def _explained(what: str, error: Exception, blockers: list[str]) -> str:
    failure = Failure.of(error)
    if blockers:
        return f"{what} couldn't get its locks and was rolled back; in its way: {'; '.join(blockers)}."
    if _met_a_lock(error):
        return (
            f"{what} couldn't get its locks and was rolled back ({failure}). Run it again when the database is quieter."
        )
    place = _place(error)
    return f"{what} failed and was rolled back: {failure}{f' ({place})' if place else ''}"


def _place(error: Exception) -> str:
    """Where in a revision file the error came from."""
    place = ""
    traceback = error.__traceback__
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        if "/versions/" in name.replace("\\", "/"):
            place = f"{name.replace(chr(92), '/').rpartition('/')[2]} line {traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def _cause(error: BaseException) -> BaseException | None:
    # What a database error is chained to quotes rows in its details; of all others the traceback helps.
    hides = sa.exc.SQLAlchemyError | CipherError | BackfillError | SettingsError | MigrationError | KeyboardInterrupt
    return None if isinstance(error, hides) else error


def _met_a_lock(error: BaseException) -> bool:
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    original: Any = error.orig
    if getattr(original, "sqlstate", None) in (LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED):
        return True
    return "database is locked" in str(original)


def _revision_of(step: Any) -> str:
    return str(step.info.up_revision_id)


def _direction(step: Any) -> Direction:
    if step.info.is_stamp:
        return Direction.STAMP
    return Direction.UPGRADE if step.info.is_upgrade else Direction.DOWNGRADE


def _seconds(options: Mapping[str, Any], default: float) -> float:
    try:
        value = float(options.get("lock_timeout", default))
    except ValueError:
        value = -1
    if not 0 <= value < float("inf"):
        raise ConfigurationError("-x lock_timeout must be a number of seconds, 0 or more.")
    return value


@contextmanager
def _ended_politely(*, on_command_line: bool) -> Iterator[None]:
    """Lets SIGTERM, which container platforms stop a process with, roll back as Ctrl-C does."""
    if not on_command_line:
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _guarded(connection: sa.Connection) -> Iterator[RebuildGuard]:
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
