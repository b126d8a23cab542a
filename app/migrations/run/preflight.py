"""Checks before the first revision runs.

Each reads and none writes. The texts name what is wrong, where, and the command or the edit that mends it.
"""

import ast
import hashlib
import re
import sqlite3
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError

from app.migrations.errors import ConfigurationError, HistoryError, UnresolvedFailure, place_in_revision
from app.migrations.project import BASE, OWN_TABLES
from app.migrations.run.ledger import Entry, Outcome, attempts, last_applied
from app.migrations.session import Direction

_MINIMUM_SQLITE = (3, 35)


def require_loadable(script: ScriptDirectory) -> None:
    """Loads every revision; raises `HistoryError` if a file is missing or isn't one."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", r"Revision .* is (present more than once|not present)", UserWarning)
            revisions = list(script.walk_revisions())
    except CommandError as error:
        raise HistoryError(f"The history can't be read: {' '.join(str(error).split())}") from None
    except UserWarning as warning:
        text = " ".join(str(warning).split())
        raise HistoryError(f"The history can't be read: {text}.{_files_of(script, text)}") from None
    except Exception as error:
        place = "" if place_in_revision(error) or getattr(error, "filename", None) else _unreadable(script)
        raise HistoryError(f"The history can't be read: {place}{_described(error)}.") from error
    for revision in revisions:
        if not callable(getattr(revision.module, "upgrade", None)):
            raise HistoryError(f"The history can't be read: {Path(revision.path).name} has no function upgrade().")


def require_supported(connection: sa.Connection) -> None:
    """Raises `ConfigurationError` if SQLite is too old."""
    if connection.dialect.name == "sqlite" and sqlite3.sqlite_version_info < _MINIMUM_SQLITE:
        raise ConfigurationError(
            f"SQLite {sqlite3.sqlite_version} is too old: {'.'.join(map(str, _MINIMUM_SQLITE))} or newer is needed. It "
            "comes with Python: use a newer one."
        )


def require_single_head(script: ScriptDirectory) -> None:
    """Raises `HistoryError` if the history has several ends, with the edit that makes it one line again."""
    heads = sorted(script.get_heads())
    if len(heads) <= 1:
        return
    stays, moves = heads[0], heads[-1]
    shared = {revision.revision for revision in script.iterate_revisions(stays, BASE)}
    branch = [r for r in script.iterate_revisions(moves, BASE) if r.revision not in shared]
    first = branch[-1]
    raise HistoryError(
        f"The history has {len(heads)} ends ({', '.join(heads)}), as after a merge of two branches. Put one after the "
        f"other: in {Path(first.path).name} write down_revision = {stays!r} instead of {first.down_revision!r}, on a "
        "branch that no database has run yet."
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

    `former` has checksums that mean the same as today's, by revision.
    """
    changed = []
    for revision in sorted(applied):
        with_checksum = [
            entry
            for entry in attempts(entries, revision)
            if entry.checksum
            and entry.outcome in (Outcome.APPLIED, Outcome.ADOPTED)
            and entry.direction is not Direction.DOWNGRADE
        ]
        if with_checksum and with_checksum[-1].checksum not in former.get(revision, ()):
            now = checksum_of(script.get_revision(revision))
            changed += [with_checksum[-1]] if with_checksum[-1].checksum != now else []
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


@cache
def checksum(source: str | bytes) -> str:
    """Returns a checksum of a revision's code: comments, formatting, docstrings and `acknowledged` don't count."""
    return hashlib.sha256(_canonical(ast.parse(source)).encode()).hexdigest()


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


def _canonical(node: object) -> str:
    # ast.dump() isn't the same on every Python: newer ones have more fields, and leave out empty ones. Every start
    # reads the whole history this way, so it is written to be fast.
    if isinstance(node, list):
        return f"[{','.join([_canonical(item) for item in node])}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = []
    for name in node._fields:
        value = getattr(node, name, None)
        if name == "body" and isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
            value = [statement for statement in node.body if not _is_words(statement)]
        if value is not None and value != []:
            parts.append(f"{name}={_canonical(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _is_words(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return isinstance(statement.value.value, str)
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return any(isinstance(target, ast.Name) and target.id == "acknowledged" for target in targets)


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
