"""`schema dev`: what a developer runs after editing a model.

It changes the database that it compares the models with, so it wants one of the developer's own.
"""

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import Script

from app.migrations.autogenerate import offered_name
from app.migrations.errors import ConfigurationError
from app.migrations.project import Project
from app.migrations.run import connections, status
from app.migrations.run.reporter import Reporter, log
from app.migrations.run.scratch import must_be_local
from app.migrations.session import Session
from app.migrations.terminal import Ask


@dataclass(frozen=True)
class Development:
    """What `schema dev` did.

    Attributes:
        at: the revision that the database is at now.
        applied: the revisions that were pending before, oldest first.
        written: the revisions that were written and applied; none if the models and the database were equal.
        files: where those are, seen from the project's root.
    """

    database: str
    at: str
    applied: list[str]
    written: list[str]
    files: list[Path]


def develop(
    project: Project,
    engine: sa.Engine | None = None,
    *,
    message: str | None = None,
    ask: Ask | None = None,
    not_a_rename: Sequence[str] = (),
    remote: bool = False,
    live: bool = False,
) -> Development:
    """Applies what is pending, writes a revision for what the models want besides, applies that too, and compares.

    Args:
        project: whose models and revisions.
        engine: the database; the project's if None.
        message: the name of the revision; else `ask` is asked for one.
        ask: asks somebody, about the name and about renames; None if nobody is there.
        not_a_rename: columns, as `users.nick`, and tables that are dropped, whatever is added beside them.
        remote: the database may be on another machine.
        live: a terminal watches: show what is going on between two lines too.

    Raises:
        MigrationError: what is in the way, or failed. A revision that was written stays, applied or not.
    """
    if not remote:
        must_be_local(engine.url if engine is not None else project.database_url())
    config = project.config(engine)
    session = Session.of(config)
    session.reporter, session.ask, session.called_by_schema = Reporter(live=live), ask, True
    session.not_a_rename, session.name_revision = not_a_rename, _naming(ask)
    with connections.reading(project, engine) as connection:
        before = status.read(connection, project, connections.history(project), connections.shown(project, engine))
    if before.problems:
        raise before.problems[0]
    if before.pending:
        command.upgrade(config, "head")
    written = _write_revision(project, config, message)
    if written:
        command.upgrade(config, "head")
    command.check(config)
    names, applied = ([script.revision for script in scripts] for scripts in (written, before.pending))
    files = [connections.from_root(project, Path(script.path)) for script in written]
    return Development(before.database, names[-1] if names else before.head or "", applied, names, files)


def _write_revision(project: Project, config: Config, message: str | None) -> list[Script]:
    """Lets Alembic write a revision, and shows it; none if the models and the database are equal."""
    with redirect_stdout(io.StringIO()):  # Alembic and its hooks say there what they do
        made = command.revision(config, message, autogenerate=True)
    scripts = [script for script in (made if isinstance(made, list) else [made]) if script is not None]
    for script in scripts:
        path = Path(script.path)
        log.info("\n%s\n\n%s", connections.from_root(project, path), path.read_text(encoding="utf-8"))
    return scripts


def _naming(ask: Ask | None) -> Callable[[list[Any]], str]:
    """What names a revision when the command line doesn't."""

    def name(diffs: list[Any]) -> str:
        offered = offered_name(diffs)
        if ask is None:
            raise ConfigurationError(f'A revision needs a name, and nobody can be asked: schema dev -m "{offered}"')
        return ask(f"Name of the revision [{offered}]:", offered)

    return name
