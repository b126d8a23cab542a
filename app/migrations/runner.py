"""Moves a database from revision to revision: what `alembic upgrade`, `downgrade` and `stamp` run.

In this order: the lock; what must be in order (`preflight`); then each revision in a transaction of its own, with
timeouts, the version row and the ledger row in that same transaction. A revision that meets a lock is rolled back and
tried again for a while. Whatever happens, the ledger says so.
"""

import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.runtime.environment import EnvironmentContext
from alembic.util import CommandError

from app import db, settings
from app.backfill import BackfillError
from app.migrations import lock, preflight
from app.migrations.errors import ConfigurationError, HistoryError, Interrupted, MigrationError
from app.migrations.ledger import Direction, Failure, Ledger, Outcome
from app.migrations.progress import Progress
from app.migrations.statements import StatementWatch, Timeouts
from app.settings import SettingsError

if TYPE_CHECKING:
    from app.migrations.blockers import BlockerWatch
    from app.migrations.gate import Gate
    from app.migrations.rebuilds import RebuildGuard

LOCK_NOT_AVAILABLE = "55P03"
INSUFFICIENT_PRIVILEGE = "42501"
DEADLOCK_DETECTED = "40P01"
BASE = "base"
_SQLITE_STEPS = 100_000
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
        self._gate: Gate | None = None
        self._step: Any = None
        self._entry: int | None = None
        self._following: int | None = None
        self._half_done = False
        self._told_to_end: list[int] = []
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
            if self._env.config.cmd_opts is not None:
                stack.enter_context(_ended_politely(self._connection, self._told_to_end))
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
            self._until_done()

    # --- before ---------------------------------------------------------------

    def _preflight(self) -> None:
        script, context = self._env.script, self._env.get_context()
        preflight.supported(self._connection)
        preflight.one_line(script)
        heads = context.get_current_heads()
        entries = self._ledger.entries()
        preflight.known(script, heads, entries)
        upgrade = self._plan_of.__name__ == "upgrade"
        preflight.has_history(self._connection, heads, self._our_tables, upgrade=upgrade)
        applied = {r.revision for head in heads for r in script.iterate_revisions(head, "base")}
        if upgrade:
            preflight.unedited(entries, script, applied)
        plan = [step for step in self._plan_of(heads, context) if not step.info.is_stamp]
        preflight.resolved(entries, plan)
        # An empty database has nothing to lose.
        guarded = bool(plan and (heads or sa.inspect(self._connection).get_table_names()))
        self._connection.rollback()
        if guarded and self._gate is None:
            from app.migrations.gate import Gate

            self._gate = Gate(self._connection, _accepted(self._env), self._progress.note)
            self._gate.refuse(self._gate.judge(plan))

    # --- during ---------------------------------------------------------------

    def _until_done(self) -> None:
        deadline = None
        pause = _PAUSE_SECONDS[0]
        while True:
            blockers = self._blockers()
            try:
                with blockers.watching() if blockers else ExitStack():
                    self._statements.start(self._timeouts, repeatable=True)
                    self._preflight()
                    with self._gate.guarding() if self._gate else ExitStack(), self._env.begin_transaction():
                        self._env.run_migrations()
                # The version table of a database without revisions is made outside any of their transactions.
                if self._connection.in_transaction():
                    self._connection.commit()
            except BaseException as caught:  # noqa: BLE001 - Ctrl-C too is rolled back and written down; all is raised again
                error = KeyboardInterrupt() if self._told_to_end else caught  # SQLite makes another error of it
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
        if self._connection.in_transaction():
            self._connection.commit()
        if plan and not self._wrote:
            self._ledger.create()
            for entry in self._ledger.close_crashed():
                self._progress.crashed(entry)
            self._connection.commit()
            self._wrote = True
        if plan:
            preflight.resolved(self._ledger.entries(), plan)
        self._entry = self._following = None
        self._next = plan
        for step in plan:
            held.check()
            self._begin(step)
            yield step
            self._step = None
        self._progress.finished(len(plan))

    def _begin(self, step: Any) -> None:
        self._step = step
        self._next = self._next[1:]
        self._entry, self._following = self._following, None
        if self._entry is None:
            self._entry = self._announce(step)
            self._connection.commit()
        module = step.revision.module if not step.info.is_stamp else None
        try:
            timeouts = self._timeouts.declared_by(module)
        except ValueError as error:
            raise ConfigurationError(f"The revision {step.revision.revision}: {error}.") from None
        self._statements.start(timeouts, repeatable=bool(getattr(module, "repeatable", False)))
        if self._gate:
            self._gate.begin(step)
        self._started = time.monotonic()
        self._progress.begins(step)

    def _announce(self, step: Any) -> int:
        revision = _revision_of(step)
        checksum = preflight.checksum_of(self._env.script.get_revision(revision)) if revision != BASE else None
        return self._ledger.begin(revision, _direction(step), checksum)

    def _applied(self, **_: Any) -> None:
        """Called by Alembic inside the revision's transaction, after it has written the version."""
        self._statements.start(self._timeouts, repeatable=True)
        accepted = self._gate.end() if self._gate else None
        assert self._entry is not None
        seconds = time.monotonic() - self._started
        self._ledger.finish(self._entry, Outcome.APPLIED, seconds, reason=accepted)
        # The next one's row goes along: a commit less for each revision.
        self._following = self._announce(self._next[0]) if self._next else None
        self._progress.ended(self._step, seconds)

    def _cant_be_repeated(self) -> None:
        driver: Any = self._connection.connection.driver_connection
        driver.execute(f"UPDATE schema_ledger SET repeatable = false WHERE id = {self._entry:d}")

    # --- after a failure ------------------------------------------------------

    def _failed(self, error: BaseException) -> bool:
        """Rolls back, writes the failure down, and says whether to try again."""
        self._statements.start(self._timeouts, repeatable=True)
        if self._gate:
            self._gate.abandon()
        with suppress(sa.exc.SQLAlchemyError, sqlite3.Error):
            self._connection.rollback()
            begun = [entry for entry in (self._entry, self._following) if entry is not None]
            for entry in begun:
                self._ledger.finish(entry, Outcome.FAILED, time.monotonic() - self._started, Failure.of(error))
            entries = self._ledger.entries() if begun else []
            self._half_done = any(not entry.repeatable for entry in entries if entry.id in begun)
            self._connection.commit()
            return _met_a_lock(error) and not self._half_done
        return False

    def _blockers(self) -> "BlockerWatch | None":
        if self._connection.dialect.name != "postgresql":
            return None
        from app.migrations.blockers import BlockerWatch

        driver: Any = self._connection.connection.driver_connection
        return BlockerWatch(self._connection.engine, driver.info.backend_pid)

    def _as_operator_error(self, error: BaseException, blockers: list[str]) -> BaseException:
        from app.ciphers import CipherError

        what = f"The revision {_revision_of(self._step)}" if self._step is not None else "The migration"
        if isinstance(error, KeyboardInterrupt):
            if self._env.config.cmd_opts is None:
                return error
            done = "after it had left its transaction" if self._half_done else "and rolled back"
            return Interrupted(f"{what} was interrupted {done}; what had finished stays applied.")
        if isinstance(error, MigrationError) or not isinstance(error, Exception):
            return error
        if isinstance(error, CipherError | SettingsError | BackfillError):
            kind = MigrationError if isinstance(error, BackfillError) else ConfigurationError
            return kind(f"{what}: {error}")
        if isinstance(error, CommandError) and self._step is None:
            return HistoryError(str(error)) if "Multiple head" in str(error) else ConfigurationError(str(error))
        return MigrationError(_explained(what, error, blockers, half_done=self._half_done))


def _explained(what: str, error: Exception, blockers: list[str], *, half_done: bool) -> str:
    failure = Failure.of(error)
    place = _place(error)
    hint = ". Migrate as the role that owns the tables." if failure.sqlstate == INSUFFICIENT_PRIVILEGE else ""
    if half_done:
        return (
            f"{what} failed after it had left its transaction, so part of it may have been done: "
            f"{failure}{f' ({place})' if place else ''}"
        )
    if blockers:
        return f"{what} couldn't get its locks and was rolled back; in its way: {'; '.join(blockers)}."
    if _met_a_lock(error):
        return (
            f"{what} couldn't get its locks and was rolled back ({failure}). Run it again when the database is quieter."
        )
    return f"{what} failed and was rolled back: {failure}{f' ({place})' if place else ''}{hint}"


def _accepted(env: EnvironmentContext) -> set[str]:
    """The revisions whose losses the operator accepts: `-x accept-data-loss=REVISION`, as often as needed."""
    pairs = [argument.partition("=") for argument in env.get_x_argument()]
    named = {value for name, _, value in pairs if name == "accept-data-loss"}
    return named | set(env.config.attributes.get("accept_data_loss", ()))


def _place(error: Exception) -> str:
    """Where in a revision file the error came from."""
    place = ""
    traceback = error.__traceback__
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        if Path(name).parent.name == "versions":
            place = f"{Path(name).name} line {traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def _cause(error: BaseException) -> BaseException | None:
    from app.ciphers import CipherError

    # What a database error is chained to quotes rows in its details; of all others the traceback helps.
    hides = sa.exc.SQLAlchemyError | CipherError | BackfillError | SettingsError | MigrationError | KeyboardInterrupt
    return None if isinstance(error, hides) else error


def _met_a_lock(error: BaseException) -> bool:
    original: Any = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    if not isinstance(error, sa.exc.DBAPIError | sqlite3.Error):
        return False
    if getattr(original, "sqlstate", None) in (LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED):
        return True
    return "database is locked" in str(original)


def _revision_of(step: Any) -> str:
    """The revision that a step applies or reverts; of a stamp where the database is to be."""
    if step.info.is_stamp:
        return str(next(iter(step.info.destination_revision_ids), BASE))
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
def _ended_politely(connection: sa.Connection, told: list[int]) -> Iterator[None]:
    """Lets SIGTERM, which container platforms stop a process with, roll back as Ctrl-C does.

    Args:
        connection: the one that revisions run on.
        told: gets the numbers of the signals that came.
    """

    def interrupt(number: int, _frame: FrameType | None) -> None:
        told.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    if connection.dialect.name == "sqlite":
        # While a statement runs, signals are heard only when it calls back.
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: bool(told), _SQLITE_STEPS)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _guarded(connection: sa.Connection) -> Iterator["RebuildGuard"]:
    from app.migrations.rebuilds import RebuildGuard

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
