"""What must be in order before the first revision runs.

Each check reads; none writes. The texts name what is wrong, where, and the command or the edit that mends it.
"""

import sqlite3
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from traceback import extract_tb

import sqlalchemy as sa
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError

from app.migrations.errors import ConfigurationError, HistoryError, UnresolvedFailure
from app.migrations.project import OWN_TABLES
from app.migrations.run import checksums
from app.migrations.run.ledger import Entry, Outcome
from app.migrations.session import Direction, Step

MINIMUM_SQLITE = (3, 35)


def loadable(script: ScriptDirectory) -> None:
    """The files of the history must be there and be revisions.

    Raises:
        HistoryError: one isn't; the message says which, and what is wrong with it.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", r"Revision .* is (present more than once|not present)", UserWarning)
            revisions = list(script.walk_revisions())
    except CommandError as error:
        raise HistoryError(f"The history can't be read: {' '.join(str(error).split())}") from None
    except Exception as error:
        raise HistoryError(f"The history can't be read: {_place_of(error)}{_said_by(error)}.") from error
    for revision in revisions:
        if not callable(getattr(revision.module, "upgrade", None)):
            raise HistoryError(f"The history can't be read: {Path(revision.path).name} has no function upgrade().")


def supported(connection: sa.Connection) -> None:
    """SQLite must be new enough; PostgreSQL is.

    Raises:
        ConfigurationError: it isn't.
    """
    if connection.dialect.name == "sqlite" and sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        raise ConfigurationError(
            f"SQLite {sqlite3.sqlite_version} is too old: {'.'.join(map(str, MINIMUM_SQLITE))} or newer is needed. It "
            "comes with Python: use a newer one."
        )


def one_line(script: ScriptDirectory) -> None:
    """The history must have one end.

    Raises:
        HistoryError: it has more; the message has the edit that makes it one line again.
    """
    heads = sorted(script.get_heads())
    if len(heads) <= 1:
        return
    stays, moves = heads[0], heads[-1]
    shared = {revision.revision for revision in script.iterate_revisions(stays, "base")}
    branch = [r for r in script.iterate_revisions(moves, "base") if r.revision not in shared]
    first = branch[-1]
    raise HistoryError(
        f"The history has {len(heads)} ends ({', '.join(heads)}), as after a merge of two branches. Put one after the "
        f"other: in {Path(first.path).name} write down_revision = {stays!r} instead of {first.down_revision!r}, on a "
        "branch that no database has run yet."
    )


def known(script: ScriptDirectory, heads: Iterable[str], entries: list[Entry]) -> None:
    """The database must be at a revision that the code has.

    Raises:
        HistoryError: the database is ahead of the code; says since when, and who brought it there.
    """
    revisions = {revision.revision for revision in script.walk_revisions()}
    for head in heads:
        if head not in revisions:
            raise HistoryError(ahead(head, entries))


def ahead(revision: str, entries: list[Entry]) -> str:
    """Says that the database is at a revision that this code doesn't have."""
    applied = [e for e in entries if e.revision == revision and e.outcome is Outcome.APPLIED]
    when = f", applied {applied[-1].started_at:%Y-%m-%d %H:%M} UTC by {applied[-1].by}" if applied else ""
    version = f" from code {applied[-1].code_version[:12]}" if applied and applied[-1].code_version else ""
    return (
        f"The database is ahead of the code: it is at {revision}{when}{version}, and alembic/versions has no such "
        "revision. Deploy code that has it; to go back, run alembic downgrade from that code."
    )


def has_history(
    connection: sa.Connection, heads: Iterable[str], our_tables: Callable[[], Iterable[str]], *, upgrade: bool
) -> None:
    """A database with tables of ours must say which revision it is at.

    Args:
        connection: to the database.
        heads: the revisions it is at.
        our_tables: names the tables of the models; asked only if there are any tables.
        upgrade: stamping such a database is the way out.

    Raises:
        HistoryError: it doesn't say, so the first revision would fail half-way through it.
    """
    if not upgrade or any(heads):
        return
    present = set(sa.inspect(connection).get_table_names()) - set(OWN_TABLES)
    ours = sorted(present & set(our_tables())) if present else []
    if ours:
        raise HistoryError(
            f"This database has tables of ours ({', '.join(ours)}) but no migration "
            "history: it was made by hand or by another tool. Find the revision that its schema equals, and record "
            "that it is there: alembic stamp REVISION. Then run this again."
        )


def unedited(
    entries: list[Entry], script: ScriptDirectory, applied: set[str], former: Mapping[str, frozenset[str]]
) -> None:
    """A revision that was applied must still be what it was.

    Raises:
        HistoryError: its code has changed since; comments and formatting don't count.
    """
    for revision in edited(entries, script, applied, former):
        entry = last_checksum(entries, revision)
        assert entry is not None
        raise HistoryError(
            f"The revision {revision} was edited after it was applied here ({entry.started_at:%Y-%m-%d %H:%M} UTC by "
            f"{entry.by}). Restore the file, and make the change in a new revision; if the edit changes nothing that "
            f"matters, say so: schema resolve {revision} --applied"
        )


def edited(
    entries: list[Entry], script: ScriptDirectory, applied: set[str], former: Mapping[str, frozenset[str]]
) -> list[str]:
    """Returns applied revisions whose code isn't what the ledger saw, oldest first.

    Args:
        entries: the ledger.
        script: the history.
        applied: the revisions to look at.
        former: checksums that mean the same as today's, by revision.
    """
    changed = []
    for revision in sorted(applied):
        entry = last_checksum(entries, revision)
        known = {checksum_of(script.get_revision(revision)), *former.get(revision, ())}
        if entry is not None and entry.checksum not in known:
            changed.append(revision)
    return changed


def last_checksum(entries: list[Entry], revision: str) -> Entry | None:
    """The entry that last said what the code of an applied revision was."""
    told = (Outcome.APPLIED, Outcome.ADOPTED)
    found = [
        e
        for e in entries
        if e.revision == revision and e.outcome in told and e.checksum and e.direction is not Direction.DOWNGRADE
    ]
    return found[-1] if found else None


def checksum_of(revision: Script) -> str:
    """The checksum of a revision's file."""
    return checksums.checksum(Path(revision.path).read_text(encoding="utf-8"))


def resolved(entries: list[Entry], steps: Iterable[Step]) -> None:
    """A revision that failed half-way outside its transaction must be explained before it runs again.

    Raises:
        UnresolvedFailure: nobody has said what became of it.
    """
    for step in steps:
        entry = unresolved(entries, step.revision)
        if entry is not None and step.direction is not Direction.STAMP:
            raise failure(entry)


def failure(entry: Entry) -> UnresolvedFailure:
    """Says that an attempt failed half-way, and how to go on."""
    return UnresolvedFailure(
        f"The revision {entry.revision} failed on {entry.started_at:%Y-%m-%d %H:%M} UTC after it had left its "
        f"transaction ({entry.error or 'it crashed'}), so part of it may have been done, and it can't simply be run "
        "again. Undo or complete what is there, then say which: "
        f"schema resolve {entry.revision} --rolled-back (it will run again), or --applied (it won't). What you say is "
        "proved first, and a refusal tells what is left to do."
    )


def unresolved(entries: list[Entry], revision: str | None) -> Entry | None:
    """The last attempt at a revision, if it failed half-way and nobody has said anything since."""
    attempts = [entry for entry in entries if entry.revision == revision and entry.direction is not Direction.CHECK]
    ended_badly = (Outcome.FAILED, Outcome.RUNNING)  # whoever holds the lock knows that nobody is running
    if attempts and attempts[-1].outcome in ended_badly and not attempts[-1].repeatable:
        return attempts[-1]
    return None


def _place_of(error: Exception) -> str:
    """The file and line of the history that an error comes from, as the beginning of a sentence; empty if none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name} line {error.lineno}: "
    places = [frame for frame in extract_tb(error.__traceback__) if Path(frame.filename).parent.name == "versions"]
    return f"{Path(places[-1].filename).name} line {places[-1].lineno}: " if places else ""


def _said_by(error: Exception) -> str:
    if isinstance(error, UserWarning):
        return " ".join(str(error).split())
    return f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else ' '.join(str(error).split())}"
