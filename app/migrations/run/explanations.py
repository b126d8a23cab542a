"""What an operator is told when a run fails: one line, with the place in the revision, and what to do."""

from pathlib import Path

import sqlalchemy as sa
from alembic.util import CommandError

from app.errors import Failure, SchemaError, met_a_lock
from app.migrations.errors import (
    ConfigurationError,
    HistoryError,
    Interrupted,
    MigrationError,
    as_migration_error,
)
from app.migrations.run import signals

INSUFFICIENT_PRIVILEGE = "42501"


def explained(error: BaseException, revision: str | None, blockers: list[str], *, half_done: bool) -> BaseException:
    """What to raise instead of an error that ended a run.

    Args:
        error: it.
        revision: the one that was at work; None before and after.
        blockers: who was in the way, if that is why.
        half_done: something may have happened outside the revision's transaction.
    """
    what = f"The revision {revision}" if revision is not None else "The migration"
    if isinstance(error, KeyboardInterrupt):
        if not signals.listening():
            return error
        done = "after it had left its transaction" if half_done else "and rolled back"
        return Interrupted(f"{what} was interrupted {done}; what had finished stays applied.")
    if isinstance(error, MigrationError) or not isinstance(error, Exception):
        return error
    if isinstance(error, SchemaError):
        return as_migration_error(type(error)(f"{what}: {error}")) or error
    if isinstance(error, CommandError) and revision is None:
        return HistoryError(str(error)) if "Multiple head" in str(error) else ConfigurationError(str(error))
    return MigrationError(_told(what, error, blockers, half_done=half_done))


def cause_of(error: BaseException) -> BaseException | None:
    """What the error that is raised instead may be chained to."""
    # What a database error is chained to quotes rows in its details; of all others the traceback helps.
    hides = sa.exc.SQLAlchemyError | SchemaError | KeyboardInterrupt
    return None if isinstance(error, hides) else error


def _told(what: str, error: Exception, blockers: list[str], *, half_done: bool) -> str:
    failure = Failure.of(error)
    place = f" ({found})" if (found := _place(error)) else ""
    if half_done:
        return f"{what} failed after it had left its transaction, so part of it may have been done: {failure}{place}"
    if blockers:
        return f"{what} couldn't get its locks and was rolled back; in its way: {'; '.join(blockers)}."
    if met_a_lock(error):
        return (
            f"{what} couldn't get its locks and was rolled back ({failure}). Run it again when the database is quieter."
        )
    hint = ". Migrate as the role that owns the tables." if failure.sqlstate == INSUFFICIENT_PRIVILEGE else ""
    return f"{what} failed and was rolled back: {failure}{place}{hint}"


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
