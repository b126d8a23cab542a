"""`schema lint`: which revisions are looked at, and what a database adds."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.script import ScriptDirectory

from app.migrations import run
from app.migrations.errors import HistoryError
from app.migrations.project import Project
from app.migrations.releases import Release, of_database, read_release

if TYPE_CHECKING:
    from app.migrations.lint import Linted, Live

_ALL = "All revisions were taken for one run, in which every table is new: say what has run, with --since or --database"


def lint(
    project: Project,
    revisions: Sequence[str] = (),
    *,
    since: str | None = None,
    database: bool = False,
    engine: sa.Engine | None = None,
) -> "Linted":
    """Looks for what would stall a busy table in the upgrades of revisions, as if they ran in one go.

    Args:
        project: the project; a table that its models declare small, `info={"small": True}`, may be locked.
        revisions: their ids, or files; a file that is no revision is passed over. None stands for all that haven't run,
            as far as the database or `released` in alembic.ini tells.
        since: leave out this revision, and those before it; or what a branch, tag or commit of git has already.
        database: ask the project's database for that, and for the sizes of its tables; nothing is written to it.
        engine: that database, instead of the project's.

    Raises:
        HistoryError: there is no such revision.
        ConfigurationError: alembic.ini waives a rule that doesn't exist.
        SchemaError: the database can't be reached.
    """
    from app.migrations.lint import lint as look_at  # its parser takes time to load

    config, script = project.config(), run.history(project)
    history: list[Any] = [*script.walk_revisions()][::-1]
    named, notes = _named(history, revisions)
    chosen = [each for each in history if not revisions or each.revision in named]
    live, released = None, read_release(config)
    if database:
        live, released = _ask(project, engine, notes)
        since = since or (released.revision if released is not None and not revisions else None)
    elif not revisions and since is None:
        since = released.revision if released is not None else None
        notes += [] if since else [_ALL]
    if since is not None:
        earlier = _earlier(script, history, since)
        chosen = [each for each in chosen if each.revision not in earlier]
    small, partitioned = project.small_tables(), [*project.partitions()]
    done = look_at(config, chosen, small=small, partitioned=partitioned, live=live, release=released)
    done.notes[:0] = notes
    return done


def _named(history: list[Any], names: Sequence[str]) -> tuple[set[str], list[str]]:
    """Returns the ids of the revisions that are named, and a line for each file that is none."""
    files = {Path(script.path).resolve(): script.revision for script in history}
    ids, notes = set[str](), list[str]()
    for name in names:
        known = files.get(Path(name).resolve()) or next((s.revision for s in history if s.revision == name), None)
        if known is not None:
            ids.add(known)
        elif Path(name).exists() or Path(name).suffix:
            notes.append(f"{name} is no revision: passed over")
        else:
            raise _no_revision(name, history)
    return ids, notes


def _earlier(script: ScriptDirectory, history: list[Any], since: str) -> set[str]:
    """Returns the revisions up to one of them, or those that git has at a commit."""
    ids = [each.revision for each in history]
    if since in ids:
        return {*ids[: ids.index(since) + 1]}
    if since.startswith("-"):
        raise _no_revision(since, history)
    command = ["git", "-C", script.versions, "ls-tree", "-r", "--name-only", since, "--", "."]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # no git
        raise _no_revision(since, history) from None
    if done.returncode:
        raise _no_revision(since, history, "and git knows no such commit")
    there = {Path(line).name for line in done.stdout.splitlines()}
    return {each.revision for each in history if Path(each.path).name in there}


def _no_revision(name: str, history: list[Any], more: str = "") -> HistoryError:
    last = f"the last one is {history[-1].revision}" if history else "there are none"
    return HistoryError(f"There is no revision {name}{f', {more}' if more else ''}: {last}.")


def _ask(project: Project, engine: sa.Engine | None, notes: list[str]) -> tuple["Live | None", Release | None]:
    """Returns the sizes that a database tells, and the release that it is evidence of."""
    from app.migrations.lint import read_live

    with run.reading(project, engine) as connection:
        released = of_database(connection, project.config())
        if connection.dialect.name == "postgresql":
            return read_live(connection), released
    notes.append(f"{run.shown(project, engine)} tells nothing about the tables of a busy PostgreSQL")
    return None, released
