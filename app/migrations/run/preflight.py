"""Checks before the first revision runs.

Each reads and none writes. The texts name what is wrong, where, and the command or the edit that mends it.
"""

import os
import re
import sqlite3
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import CycleDetected
from alembic.util import CommandError

from app.migrations.checksums import checksum, recorded_parents
from app.migrations.errors import (
    ConfigurationError,
    HistoryError,
    PendingRevisions,
    UnresolvedFailure,
    place_in_revision,
)
from app.migrations.line import Line, Place, Revision, read_line
from app.migrations.project import BASE, OWN_TABLES
from app.migrations.run.ledger import Entry, Outcome, attempts, last_applied
from app.migrations.session import Direction

_MINIMUM_SQLITE = (3, 35)
_AFTER_THE_EDIT = (
    "Then run alembic upgrade head on every database: it applies what is missing there, whichever branch ran before."
)


def require_loadable(script: ScriptDirectory) -> None:
    """Loads every revision; raises `HistoryError` if a file is missing or isn't one."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", r"Revision .* is (present more than once|not present)", UserWarning)
            with _compiled_anew():
                revisions = list(script.walk_revisions())
    except CommandError as error:
        circle = _circle(Path(script.versions)) if isinstance(error.__cause__, CycleDetected) else None
        raise circle or HistoryError(f"The history can't be read: {' '.join(str(error).split())}") from None
    except UserWarning as warning:
        text = " ".join(str(warning).split())
        raise HistoryError(f"The history can't be read: {text}.{_files_of(script, text)}") from None
    except Exception as error:
        place = "" if place_in_revision(error) or getattr(error, "filename", None) else _unreadable(script)
        raise HistoryError(f"The history can't be read: {place}{_described(error)}.") from error
    for revision in revisions:
        if not callable(getattr(revision.module, "upgrade", None)):
            raise HistoryError(f"The history can't be read: {Path(revision.path).name} has no function upgrade().")


@contextmanager
def _compiled_anew() -> Iterator[None]:
    """Makes Python compile what it imports meanwhile from the source.

    Python takes bytecode that it kept for a file's own if the size and the second of the change are the same. After an
    edit of an id in the same second, or in images that give all files one date, it would run another revision than
    the one whose checksum the ledger gets.
    """
    before = sys.pycache_prefix, sys.dont_write_bytecode
    sys.pycache_prefix, sys.dont_write_bytecode = os.devnull, True
    try:
        yield
    finally:
        sys.pycache_prefix, sys.dont_write_bytecode = before


def _circle(versions: Path) -> HistoryError | None:
    """Makes the error for revisions that follow each other, with the edit that makes one of them the first again.

    Returns None if no file is named after that one.
    """
    line = read_line(versions)
    first = next((revision for revision in line.in_circle if line.parents(revision)), "")
    before = line.order[-len(line.in_circle) - 1] if len(line.order) > len(line.in_circle) else None
    files = [*versions.glob(f"{first}*.py")] if first else []
    if len(files) != 1:
        return None
    return HistoryError(
        f"Revisions follow each other in a circle ({', '.join(line.in_circle)}), as after a merge of two edits: in "
        f"{files[0].name} write down_revision = {before!r} instead of {line.parents(first)[0]!r}. {_AFTER_THE_EDIT}"
    )


def require_supported(connection: sa.Connection) -> None:
    """Raises `ConfigurationError` if SQLite is too old."""
    if connection.dialect.name == "sqlite" and sqlite3.sqlite_version_info < _MINIMUM_SQLITE:
        raise ConfigurationError(
            f"SQLite {sqlite3.sqlite_version} is too old: {'.'.join(map(str, _MINIMUM_SQLITE))} or newer is needed. It "
            "comes with Python: use a newer one."
        )


def require_single_head(script: ScriptDirectory) -> None:
    """Raises `HistoryError` if the history isn't one line, with the edits that make it one again."""
    heads = sorted(script.get_heads())
    merges = [revision for revision in script.walk_revisions() if isinstance(revision.down_revision, tuple)]
    if merges:
        merge = merges[-1]  # the oldest
        stays, moves = sorted(merge.down_revision or ())[:2]
        raise HistoryError(
            f"{Path(merge.path).name} merges two branches, and the history must be one line. Put them one after the "
            f"other: in {_edit_of_parent(script, stays, moves)}, and in {Path(merge.path).name} write down_revision = "
            f"{moves!r} instead of {merge.down_revision!r}. {_AFTER_THE_EDIT}"
        )
    if len(heads) > 1:
        raise HistoryError(
            f"The history has {len(heads)} ends ({', '.join(heads)}), as after a merge of two branches. Put one after "
            f"the other: in {_edit_of_parent(script, heads[0], heads[-1])}. {_AFTER_THE_EDIT}"
        )


def _edit_of_parent(script: ScriptDirectory, stays: str, moves: str) -> str:
    """Returns the edit that puts the branch with the end `moves` after `stays`."""
    shared = {revision.revision for revision in script.iterate_revisions(stays, BASE)}
    first = [r for r in script.iterate_revisions(moves, BASE) if r.revision not in shared][-1]
    return f"{Path(first.path).name} write down_revision = {stays!r} instead of {first.down_revision!r}"


def line_of(script: ScriptDirectory) -> Line:
    """Returns the order of the revisions."""
    revisions = []
    for revision in script.walk_revisions():
        down = revision.down_revision
        parents = (down,) if isinstance(down, str) else tuple(down or ())
        revisions.append(Revision(revision.revision, parents, Path(revision.path).read_bytes()))
    return Line(revisions)


def require_complete(place: Place) -> None:
    """Raises `PendingRevisions` if a revision below the database's version was never applied."""
    if place.missing:
        raise PendingRevisions(
            f"The database lacks {', '.join(place.missing)}, which the history has before {', '.join(place.rows)} now, "
            "as after a merge of two branches. Apply it: alembic upgrade head"
        )


def require_settled(place: Place, heads: Iterable[str]) -> None:
    """Raises an error before a downgrade if a revision below was never applied, or one above was."""
    heads = sorted(heads)
    require_complete(place)
    if heads != sorted(place.rows):
        raise HistoryError(
            f"The version table says {', '.join(heads)}, and by the ledger and the order of the revisions the database "
            f"is at {', '.join(place.rows)}, as after a merge of two branches. Put that right first: alembic upgrade "
            "head"
        )


def require_known_heads(script: ScriptDirectory, heads: Iterable[str], entries: list[Entry]) -> None:
    """Raises `HistoryError` if the database is at a revision that the code doesn't have."""
    revisions = {revision.revision for revision in script.walk_revisions()}
    for head in heads:
        if head not in revisions:
            raise ahead_of_code(head, entries)


def ahead_of_code(revision: str, entries: list[Entry]) -> HistoryError:
    """Makes the error for a database at a revision that this code doesn't have."""
    entry = last_applied(entries, revision)
    when = f", applied {entry.started_at:%Y-%m-%d %H:%M} UTC by {entry.by}" if entry else ""
    version = f" from code {entry.code_version[:12]}" if entry and entry.code_version else ""
    return HistoryError(
        f"The database is ahead of the code: it is at {revision}{when}{version}, and alembic/versions has no such "
        "revision. Deploy code that has it; to go back, run alembic downgrade from that code."
    )


def require_history(connection: sa.Connection, heads: Iterable[str], model_tables: Callable[[], Iterable[str]]) -> None:
    """Raises `HistoryError` if the models' tables are there and no revision is: the first would fail half-way.

    `model_tables` imports the models, so it is called only if there are tables at all.
    """
    if any(heads):
        return
    present = set(sa.inspect(connection).get_table_names()) - set(OWN_TABLES)
    ours = sorted(present & set(model_tables())) if present else []
    if ours:
        raise HistoryError(
            f"This database has tables of ours ({', '.join(ours)}) but no migration "
            "history: it was made by hand or by another tool. Find the revision that its schema equals, and record "
            "that it is there: alembic stamp REVISION. Then run this again."
        )


def edited(
    entries: list[Entry], script: ScriptDirectory, applied: set[str], former: Mapping[str, frozenset[str]]
) -> list[Entry]:
    """Returns the entries of applied revisions whose code isn't what the ledger saw, oldest first.

    Another `down_revision` is no edit: it is how merged branches become one line. `former` has checksums that mean the
    same as today's, by revision.
    """
    changed = []
    known = tuple(sorted(revision.revision for revision in script.walk_revisions()))
    for revision in sorted(applied):
        with_checksum = [
            entry
            for entry in attempts(entries, revision)
            if entry.checksum
            and entry.outcome in (Outcome.APPLIED, Outcome.ADOPTED)
            and entry.direction is not Direction.DOWNGRADE
        ]
        seen = with_checksum[-1].checksum if with_checksum else None
        if seen is None or seen in former.get(revision, ()):
            continue
        source = Path(script.get_revision(revision).path).read_bytes()
        if seen != checksum(source) and recorded_parents(source, seen, known) is None:
            changed.append(with_checksum[-1])
    return changed


def edited_revision(entry: Entry) -> HistoryError:
    """Makes the error for a revision whose code has changed since it was applied."""
    return HistoryError(
        f"The revision {entry.revision} was edited after it was applied here ({entry.started_at:%Y-%m-%d %H:%M} UTC by "
        f"{entry.by}). Restore the file, and make the change in a new revision; if the edit changes nothing that "
        f"matters, say so: schema resolve {entry.revision} --applied"
    )


def checksum_of(revision: Script) -> str:
    """Returns the checksum of a revision's file."""
    return checksum(Path(revision.path).read_bytes())


def unresolved_failure(entry: Entry) -> UnresolvedFailure:
    """Makes the error for an attempt that failed half-way."""
    return UnresolvedFailure(
        f"The revision {entry.revision} failed on {entry.started_at:%Y-%m-%d %H:%M} UTC after it had left its "
        f"transaction ({entry.error or 'it crashed'}), so part of it may have been done, and it can't simply be run "
        "again. Undo or complete what is there, then say which: "
        f"schema resolve {entry.revision} --rolled-back (it will run again), or --applied (it won't). What you say is "
        "proved first, and a refusal tells what is left to do."
    )


def unresolved(entries: list[Entry], revision: str) -> Entry | None:
    """Returns the last attempt at a revision, if it failed half-way and was not resolved since."""
    ended_badly = (Outcome.FAILED, Outcome.RUNNING)  # the holder of the lock knows that no run is going on
    tried = attempts(entries, revision)
    if tried and tried[-1].outcome in ended_badly and not tried[-1].repeatable:
        return tried[-1]
    return None


def _described(error: Exception) -> str:
    """Returns an error of a revision's code, after its file and line."""
    found, text = place_in_revision(error), " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        found = (Path(error.filename).name, error.lineno) if error.filename else found
        text = error.msg
    return f"{f'{found[0]} line {found[1]}: ' if found else ''}{type(error).__name__}: {text}"


def _unreadable(script: ScriptDirectory) -> str:
    """Names the first file that Python can't compile, as the beginning of a sentence."""
    for path in sorted(Path(script.versions).glob("*.py")):
        try:
            compile(path.read_bytes(), path, "exec")
        except (SyntaxError, ValueError, OSError):
            return f"{path.name}: "
    return ""


def _files_of(script: ScriptDirectory, warning: str) -> str:
    """Names the files of a revision that a warning says is there more than once."""
    found = re.search(r"Revision (\S+) is present more than once", warning)
    if found is None:
        return ""
    id_in_file = re.compile(rf"^revision\b.*=\s*[\"']{re.escape(found[1])}[\"']".encode(), re.MULTILINE)
    files = [path.name for path in sorted(Path(script.versions).glob("*.py")) if id_in_file.search(path.read_bytes())]
    return f" In {' and '.join(files)}: give one of them another id." if files else ""
