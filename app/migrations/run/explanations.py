"""The one line that an operator gets when a run fails: the place in the revision, and what to do."""

import re
from pathlib import Path
from traceback import extract_tb

import sqlalchemy as sa
from alembic.util import CommandError

from app.errors import Failure, SchemaError, met_a_lock
from app.migrations.errors import ConfigurationError, HistoryError, Interrupted, MigrationError, as_migration_error
from app.migrations.project import LEDGER_TABLE, VERSION_TABLE
from app.migrations.run import signals

_INSUFFICIENT_PRIVILEGE = "42501"
_PARAMETER = re.compile(r"value is required for bind parameter '(\w+)'")


def explain(error: BaseException, revision: str | None, blockers: list[str], *, half_done: bool) -> BaseException:
    """Returns the error to raise instead of one that ended a run.

    Args:
        error: the one that ended it.
        revision: the revision at work; None before the first and after the last.
        blockers: the sessions in the way, if that is why.
        half_done: something may have happened outside the revision's transaction.
    """
    subject = f"The revision {revision}" if revision is not None else "The migration"
    if isinstance(error, KeyboardInterrupt):
        if not signals.listening():
            return error
        when = "after it had left its transaction" if half_done else "and rolled back"
        return Interrupted(f"{subject} was interrupted {when}; what had finished stays applied.")
    if isinstance(error, MigrationError) or not isinstance(error, Exception):
        return error
    if isinstance(error, SchemaError):
        return as_migration_error(error, subject) or error
    if isinstance(error, CommandError) and revision is None:
        return HistoryError(str(error)) if "Multiple head" in str(error) else ConfigurationError(str(error))
    return MigrationError(_text(subject, error, blockers, half_done=half_done))


def cause_of(error: BaseException) -> BaseException | None:
    """Returns what the error that is raised instead may be chained to."""
    # A database error is chained to one that quotes rows in its details; of all others the traceback helps.
    return None if isinstance(error, sa.exc.SQLAlchemyError | SchemaError | KeyboardInterrupt) else error


def _text(subject: str, error: Exception, blockers: list[str], *, half_done: bool) -> str:
    failure, place = Failure.of(error), _place(error)
    if half_done:
        return f"{subject} failed after it had left its transaction, so part of it may have been done: {failure}{place}"
    if blockers:
        return f"{subject} couldn't get its locks and was rolled back; in its way: {'; '.join(blockers)}."
    if met_a_lock(error):
        advice = "Run it again when the database is quieter."
        return f"{subject} couldn't get its locks and was rolled back ({failure}). {advice}"
    hint = ""
    if failure.sqlstate == _INSUFFICIENT_PRIVILEGE:
        hint = ". Migrate as the role that owns the tables."
        if any(name in failure.text for name in (VERSION_TABLE, LEDGER_TABLE)):
            hint += ' If the revision sets another role, end that with op.execute("RESET ROLE").'
    elif parameter := _PARAMETER.search(str(error)) if isinstance(error, sa.exc.StatementError) else None:
        name = parameter[1]
        hint = f". A colon before a word makes it a parameter of the statement; for the colon itself write \\\\:{name}"
    return f"{subject} failed and was rolled back: {failure}{place}{hint}"


def _place(error: Exception) -> str:
    """Returns file and line of the revision that an error came from, in brackets."""
    frames = [frame for frame in extract_tb(error.__traceback__) if Path(frame.filename).parent.name == "versions"]
    return f" ({Path(frames[-1].filename).name} line {frames[-1].lineno})" if frames else ""
