"""The one line that an operator gets when a run fails: the place in the revision, and what to do."""

import re
from dataclasses import dataclass

import sqlalchemy as sa
from alembic.util import CommandError

from app.errors import Failure, SchemaError, met_a_lock
from app.migrations.errors import (
    ConfigurationError,
    HistoryError,
    Interrupted,
    MigrationError,
    as_migration_error,
    place_in_revision,
)
from app.migrations.run import signals
from app.migrations.session import Step

_INSUFFICIENT_PRIVILEGE = "42501"
# The client noticed; or the server shuts down, crashes, or an administrator ended the session.
_GONE = (None, "57P01", "57P02", "57P03")
_SETS_ROLE = re.compile(rb"\bSET\s+(LOCAL\s+|SESSION\s+)?(ROLE|AUTHORIZATION)\b", re.IGNORECASE)
_PARAMETER = re.compile(r"value is required for bind parameter '(\w+)'")


@dataclass(frozen=True)
class Left:
    """The traces of a revision that failed, beyond its transaction, which is rolled back.

    Attributes:
        half_done: something may have happened that can't simply be run again.
        kept: something was finished that the next run need not do again, such as pages of a backfill.
    """

    half_done: bool = False
    kept: bool = False


def explain(error: BaseException, step: Step | None, blockers: list[str], left: Left) -> BaseException:
    """Returns the error to raise instead of one that ended a run.

    Args:
        error: the one that ended it.
        step: the one at work; None before the first and after the last.
        blockers: the sessions in the way, if that is why.
        left: what the revision has left behind.
    """
    subject = f"The revision {step.revision}" if step is not None else "The migration"
    if isinstance(error, KeyboardInterrupt):
        if not signals.listening():
            return error
        when = " after it had left its transaction" if left.half_done else "" if left.kept else " and rolled back"
        earlier = "what had finished stays applied."
        return Interrupted(f"{subject} was interrupted{when}; {earlier}{_kept(left)}")
    if isinstance(error, MigrationError) or not isinstance(error, Exception):
        return error
    if isinstance(error, SchemaError):
        return as_migration_error(error, subject) or error
    if isinstance(error, CommandError) and step is None:
        return HistoryError(str(error)) if "Multiple head" in str(error) else ConfigurationError(str(error))
    return MigrationError(_text(step, subject, error, blockers, left))


def cause_of(error: BaseException) -> BaseException | None:
    """Returns what the error that is raised instead may be chained to."""
    # A database error is chained to one that quotes rows in its details; of all others the traceback helps.
    return None if isinstance(error, sa.exc.SQLAlchemyError | SchemaError | KeyboardInterrupt) else error


def _text(step: Step | None, subject: str, error: Exception, blockers: list[str], left: Left) -> str:
    failure, found = Failure.of(error), place_in_revision(error)
    place = f" ({found[0]} line {found[1]})" if found else ""
    if (loss := _loss_of_connection(error)) is not None:
        reason = str(Failure.of(loss)).rstrip(".")
        return (
            f"{subject} lost its connection to the server: {reason}{place}. The server rolls back what it hasn't "
            f"committed{_half_done(left)}. When it is back, run the same command again; schema status shows what was "
            "applied."
        )
    if left.half_done:
        return f"{subject} failed after it had left its transaction, so part of it may have been done: {failure}{place}"
    rolled_back = "" if left.kept else " and was rolled back"
    if blockers:
        return f"{subject} couldn't get its locks{rolled_back}; in its way: {'; '.join(blockers)}.{_kept(left)}"
    if met_a_lock(error):
        advice = "Run it again when the database is quieter."
        return f"{subject} couldn't get its locks{rolled_back} ({failure}). {advice}{_kept(left)}"
    text = f"{subject} failed{rolled_back}: {failure}{place}{_hint(error, failure, step)}"
    return f"{text.rstrip('.')}.{_kept(left)}" if left.kept else text


def _hint(error: Exception, failure: Failure, step: Step | None) -> str:
    if failure.sqlstate == _INSUFFICIENT_PRIVILEGE:
        if step is not None and step.file is not None and _SETS_ROLE.search(step.file.read_bytes()):
            return '. The revision sets another role: end that with op.execute("RESET ROLE").'
        return ". Migrate as the role that owns the tables."
    found = _PARAMETER.search(str(error)) if isinstance(error, sa.exc.StatementError) else None
    if found is None:
        return ""
    return f". A colon before a word makes it a parameter of the statement; for the colon itself write \\\\:{found[1]}"


def _loss_of_connection(error: BaseException | None) -> BaseException | None:
    """Returns what says that the connection is gone, which later errors may have covered."""
    while error is not None:
        if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
            return error
        if type(error).__module__.startswith("psycopg") and getattr(error, "sqlstate", "") in _GONE:
            return error  # from a statement of ours that SQLAlchemy didn't send
        error = error.__cause__ or error.__context__
    return None


def _kept(left: Left) -> str:
    if left.half_done or not left.kept:
        return ""
    return " What it had finished outside its transaction, such as pages, is kept; the next run goes on from there."


def _half_done(left: Left) -> str:
    if left.half_done:
        return ", but part of the revision may have been done outside its transaction"
    return "; pages that were written are kept, but for the last ones if it crashed" if left.kept else ""
