"""The one line that an operator gets when a run fails: the place in the revision, and what to do."""

import re

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
_SETS_ROLE = re.compile(rb"\bSET\s+(LOCAL\s+|SESSION\s+)?(ROLE|AUTHORIZATION)\b", re.IGNORECASE)
_PARAMETER = re.compile(r"value is required for bind parameter '(\w+)'")


def explain(error: BaseException, step: Step | None, blockers: list[str], *, half_done: bool) -> BaseException:
    """Returns the error to raise instead of one that ended a run.

    Args:
        error: the one that ended it.
        step: the one at work; None before the first and after the last.
        blockers: the sessions in the way, if that is why.
        half_done: something may have happened outside the revision's transaction.
    """
    subject = f"The revision {step.revision}" if step is not None else "The migration"
    if isinstance(error, KeyboardInterrupt):
        if not signals.listening():
            return error
        when = "after it had left its transaction" if half_done else "and rolled back"
        return Interrupted(f"{subject} was interrupted {when}; what had finished stays applied.")
    if isinstance(error, MigrationError) or not isinstance(error, Exception):
        return error
    if isinstance(error, SchemaError):
        return as_migration_error(error, subject) or error
    if isinstance(error, CommandError) and step is None:
        return HistoryError(str(error)) if "Multiple head" in str(error) else ConfigurationError(str(error))
    return MigrationError(_text(step, subject, error, blockers, half_done=half_done))


def cause_of(error: BaseException) -> BaseException | None:
    """Returns what the error that is raised instead may be chained to."""
    # A database error is chained to one that quotes rows in its details; of all others the traceback helps.
    return None if isinstance(error, sa.exc.SQLAlchemyError | SchemaError | KeyboardInterrupt) else error


def _text(step: Step | None, subject: str, error: Exception, blockers: list[str], *, half_done: bool) -> str:
    failure, found = Failure.of(error), place_in_revision(error)
    place = f" ({found[0]} line {found[1]})" if found else ""
    if half_done:
        return f"{subject} failed after it had left its transaction, so part of it may have been done: {failure}{place}"
    if blockers:
        return f"{subject} couldn't get its locks and was rolled back; in its way: {'; '.join(blockers)}."
    if met_a_lock(error):
        advice = "Run it again when the database is quieter."
        return f"{subject} couldn't get its locks and was rolled back ({failure}). {advice}"
    return f"{subject} failed and was rolled back: {failure}{place}{_hint(error, failure, step)}"


def _hint(error: Exception, failure: Failure, step: Step | None) -> str:
    if failure.sqlstate == _INSUFFICIENT_PRIVILEGE:
        if step is not None and step.file is not None and _SETS_ROLE.search(step.file.read_bytes()):
            return '. The revision sets another role: end that with op.execute("RESET ROLE").'
        return ". Migrate as the role that owns the tables."
    found = _PARAMETER.search(str(error)) if isinstance(error, sa.exc.StatementError) else None
    if found is None:
        return ""
    return f". A colon before a word makes it a parameter of the statement; for the colon itself write \\\\:{found[1]}"
