"""`schema lint`: which revisions are looked at."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from app.migrations import run
from app.migrations.errors import HistoryError
from app.migrations.project import Project

if TYPE_CHECKING:
    from app.migrations.lint import Linted


def lint(project: Project, revisions: Sequence[str] = (), *, since: str | None = None) -> "Linted":
    """Looks for what would stall a busy table in the upgrades of revisions; asks no database.

    Args:
        project: the project.
        revisions: their ids, or names of their files; none stands for all.
        since: leave out this revision, and those before it.

    Raises:
        HistoryError: there is no such revision.
        ConfigurationError: alembic.ini waives a rule that doesn't exist.
    """
    from app.migrations.lint import lint as look_at  # its parser takes time to load

    history = [*run.history(project).walk_revisions()][::-1]
    known = {script.revision: script for script in history}
    named = [revision.rpartition("/")[2].partition("_")[0] for revision in revisions]
    for revision in [*named, *([since] if since is not None else [])]:
        if revision not in known:
            raise HistoryError(f"There is no revision {revision}: the last one is {history[-1].revision}.")
    chosen: list[Any] = [script for script in history if not named or script.revision in named]
    if since is not None:
        later = history[history.index(known[since]) + 1 :]
        chosen = [script for script in chosen if script in later]
    return look_at(project.config(), chosen)
