"""Revisions as files: all are loaded, and refused if Python can't read one or would do nothing with it."""

import inspect
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.script import Script, ScriptDirectory
from alembic.script.revision import CycleDetected
from alembic.util import CommandError

from app.migrations.errors import HistoryError, place_in_revision
from app.migrations.line import read_line

AFTER_THE_EDIT = (
    "Then run alembic upgrade head on every database: it applies what is missing there, whichever branch ran before."
)
# Calling such a function makes an object, and runs none of its lines.
_LAZY = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def require_loadable(script: ScriptDirectory) -> None:
    """Loads every revision; raises `HistoryError` if a file is missing or isn't one."""
    for folder in script._version_locations:  # noqa: SLF001 - of all, `versions` only of one
        if not Path(folder).is_dir():  # as in an image without the revisions: there would be "nothing to do"
            raise HistoryError(f"The history can't be read: there is no folder of revisions {folder}.")
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
    except (Exception, SystemExit) as error:
        place = "" if place_in_revision(error) or getattr(error, "filename", None) else _unreadable(script)
        raise HistoryError(f"The history can't be read: {place}{_described(error)}.") from error
    for revision in revisions:
        _require_functions(revision)


def _require_functions(revision: Script) -> None:
    name = f"The history can't be read: {Path(revision.path).name}"
    if not callable(getattr(revision.module, "upgrade", None)):
        raise HistoryError(f"{name} has no function upgrade().")
    if not isinstance(revision.module.__doc__, str | None):
        raise HistoryError(f"{name} has a __doc__ that is no text.")
    for function in ("upgrade", "downgrade"):
        code = getattr(inspect.unwrap(getattr(revision.module, function, print)), "__code__", None)
        if code is not None and code.co_flags & _LAZY:
            raise HistoryError(
                f"{name} line {code.co_firstlineno}: {function}() is async or has a yield, so that calling it would do "
                "nothing. Write a plain function."
            )


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
        f"{files[0].name} write down_revision = {before!r} instead of {line.parents(first)[0]!r}. {AFTER_THE_EDIT}"
    )


def _described(error: BaseException) -> str:
    """Returns an error of a revision's code, after its file and line."""
    found, text = place_in_revision(error), " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        found = (Path(error.filename).name, error.lineno) if error.filename else found
        text = error.msg
    kind = "it calls sys.exit()" if isinstance(error, SystemExit) else f"{type(error).__name__}: {text}"
    return f"{f'{found[0]} line {found[1]}: ' if found else ''}{kind}"


def _unreadable(script: ScriptDirectory) -> str:
    """Names the first file that Python can't compile, as the beginning of a sentence."""
    for path in sorted(Path(script.versions).glob("*.py")):
        try:
            compile(path.read_bytes(), path, "exec")
        except (SyntaxError, ValueError, OSError, RecursionError):
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
