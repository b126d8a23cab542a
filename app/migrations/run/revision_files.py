"""The revisions of the code: files that load, and that stand in one line.

The texts name the file, and the edit that mends it.
"""

import inspect
import marshal
import os
import re
import shutil
import sys
import warnings
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path

from alembic.script import Script, ScriptDirectory
from alembic.script.revision import CycleDetected
from alembic.util import CommandError

from app.migrations import file_contents
from app.migrations.errors import HistoryError, place_in_revision
from app.migrations.line import read_line
from app.migrations.phases import phase_of
from app.migrations.project import BASE

# Calling such a function makes an object, and runs none of its lines.
_LAZY = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_BYTECODE_HEADER = 16  # bytes: PEP 552


def require_loadable(script: ScriptDirectory) -> None:
    """Loads every revision; raises `HistoryError` if a file is missing or isn't one."""
    for folder in script._version_locations:  # noqa: SLF001 - of all, `versions` only of one
        if not Path(folder).is_dir():  # as in an image without the revisions: there would be "nothing to do"
            raise HistoryError(f"The history can't be read: there is no folder of revisions {folder}.")
        _remove_bytecode_of_other_texts(Path(folder))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", r"Revision .* is (present more than once|not present)", UserWarning)
            revisions = list(script.walk_revisions())
    except CommandError as error:
        circle = _circle(script) if isinstance(error.__cause__, CycleDetected) else None
        raise circle or HistoryError(f"The history can't be read: {' '.join(str(error).split())}") from None
    except UserWarning as warning:
        text = " ".join(str(warning).split())
        raise HistoryError(f"The history can't be read: {text}.{_files_of(script, text)}") from None
    except (Exception, SystemExit) as error:
        place = "" if place_in_revision(error) or getattr(error, "filename", None) else _unreadable(script)
        raise HistoryError(f"The history can't be read: {place}{_described(error)}.") from error
    for revision in revisions:
        _require_functions(revision)
        phase_of(revision.module, Path(revision.path).name)  # refuses what is no phase


def _require_functions(revision: Script) -> None:
    name = f"The history can't be read: {os.path.basename(revision.path)}"  # noqa: PTH119 - for each of many files
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


def _remove_bytecode_of_other_texts(folder: Path) -> None:
    """Removes bytecode that Python would run though it isn't the file's.

    Python takes what it kept if the size and the second of the change are the same. After an edit of an id in the same
    second, or in images that give all files one date, it would run another revision than the one whose checksum the
    ledger gets.

    Raises:
        HistoryError: such a file can't be removed.
    """
    for file in folder.glob("*.py"):
        kept = cache_from_source(str(file))
        try:
            own = _is_bytecode_of(file_contents.read(kept), file_contents.read(str(file)), file)
        except FileNotFoundError:
            continue
        except (OSError, SyntaxError, ValueError, EOFError, TypeError, RecursionError):
            own = False
        if not own:
            try:
                Path(kept).unlink(missing_ok=True)
            except OSError as error:
                raise HistoryError(f"{kept} isn't the bytecode of {file.name}: delete it ({error.strerror}).") from None


@cache
def _is_bytecode_of(kept: bytes, source: bytes, file: Path) -> bool:
    return bool(marshal.loads(kept[_BYTECODE_HEADER:]) == compile(source, file, "exec"))  # noqa: S302 - as Python does


def _circle(script: ScriptDirectory) -> HistoryError | None:
    """Makes the error for revisions that follow each other, with the edit that makes one of them the first again.

    Returns None if no file is named after that one.
    """
    versions = Path(script.versions)
    line = read_line(versions)
    first = next((revision for revision in line.in_circle if line.parents(revision)), "")
    before = line.order[-len(line.in_circle) - 1] if len(line.order) > len(line.in_circle) else None
    files = [*versions.glob(f"{first}*.py")] if first else []
    if len(files) != 1:
        return None
    return HistoryError(
        f"Revisions follow each other in a circle ({', '.join(line.in_circle)}), as after a merge of two edits: in "
        f"{files[0].name} write down_revision = {before!r} instead of {line.parents(first)[0]!r}. "
        + _after_the_edit(script)
    )


def require_single_head(script: ScriptDirectory) -> None:
    """Raises `HistoryError` if the history isn't one line, with the edits that make it one again."""
    heads = sorted(script.get_heads())
    merges = [revision for revision in script.walk_revisions() if isinstance(revision.down_revision, tuple)]
    if merges:
        merge = merges[-1]  # the oldest
        edits, last = _edits_to_one_line(script, sorted(merge.down_revision or ()))
        name, branches = Path(merge.path).name, _in_words(len(merge.down_revision or ()))
        edits.append(f"in {name} write down_revision = {last!r} instead of {merge.down_revision!r}")
        raise HistoryError(
            f"{name} merges {branches} branches, and the history must be one line. Put them one after the other: "
            f"{', and '.join(edits)}. {_after_the_edit(script)}"
        )
    if len(heads) > 1:
        edits, _ = _edits_to_one_line(script, heads)
        raise HistoryError(
            f"The history has {len(heads)} ends ({', '.join(heads)}), as after a merge of {_in_words(len(heads))} "
            f"branches. Put one after the other: {', and '.join(edits)}. {_after_the_edit(script)}"
        )


def snapshot_command(root: Path) -> str:
    """Returns the line that makes snapshots in this environment: `scripts/dev.py` doesn't install the project."""
    installed = shutil.which("schema") or Path(sys.executable).with_name("schema").exists()
    if installed or not (root / "scripts" / "dev.py").is_file():
        return "schema snapshot"
    return "python3 scripts/dev.py schema snapshot"


def _after_the_edit(script: ScriptDirectory) -> str:
    # What a revision makes is another schema on another parent.
    return (
        f"Then make the snapshots anew ({snapshot_command(Path(script.dir).parent)}), and run alembic upgrade head on "
        "every database: it applies what is missing there, whichever branch ran before."
    )


def _edits_to_one_line(script: ScriptDirectory, ends: list[str]) -> tuple[list[str], str]:
    """Returns the edits that put branches one after the other, and the end of the last.

    Args:
        script: the history.
        ends: the last revisions of the branches.
    """
    edits: list[str] = []
    last, *others = ends
    placed = {revision.revision for revision in script.iterate_revisions(last, BASE)}
    for end in others:
        branch = [revision for revision in script.iterate_revisions(end, BASE) if revision.revision not in placed]
        if branch:  # else it is part of a branch before it
            first = branch[-1]
            name = Path(first.path).name
            edits.append(f"in {name} write down_revision = {last!r} instead of {first.down_revision!r}")
            placed |= {revision.revision for revision in branch}
            last = end
    return edits, last


def _in_words(number: int) -> str:
    return {2: "two", 3: "three"}.get(number, str(number))


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
