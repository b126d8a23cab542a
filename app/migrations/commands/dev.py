"""`schema dev`: writes and applies the revision for an edited model, on the developer's own database."""

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import Script

from app.migrations import run
from app.migrations.commands.lint import lint
from app.migrations.commands.status import read_status, require_no_problem
from app.migrations.errors import ConfigurationError
from app.migrations.project import Project
from app.migrations.run import Reporter, log, require_local
from app.migrations.session import Session
from app.migrations.terminal import Ask


@dataclass(frozen=True)
class Development:
    """The result of `develop`.

    Attributes:
        database: the database's URL without the password.
        at: the revision that the database is at now.
        applied: the revisions that were pending before, oldest first.
        written: the revisions that were written and applied; none if the models and the database were equal.
        files: the files of those, relative to the project's root.
        models_compared: `whole` or `partly`.
        notes: what the last comparison left out, and what the history of the database has left.
        findings: what `schema lint` finds in the files that were written.
    """

    database: str
    at: str
    applied: list[str]
    written: list[str]
    files: list[Path]
    models_compared: str = "whole"
    notes: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


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
    """Applies pending revisions, writes and applies one for the edited models, and compares again.

    Args:
        project: the project of the models and revisions.
        engine: the database; the project's if None.
        message: the name of the revision; else `ask` is asked for one.
        ask: asks the developer about the name and about renames; None if no terminal is there.
        not_a_rename: columns, as `users.nick`, and tables that are dropped, whatever is added beside them.
        remote: the database may be on another machine.
        live: a terminal shows the progress.

    Raises:
        MigrationError: something is in the way, or failed. A revision that was written stays, applied or not.
    """
    if not remote:
        require_local(engine.url if engine is not None else run.database_url(project))
    config = project.config(engine)
    session = Session.of(config)
    session.reporter, session.ask, session.called_by_schema = Reporter(live=live), ask, True
    session.answers_notes = True
    session.not_a_rename, session.name_revision = not_a_rename, _namer(ask)
    before = read_status(project, engine)
    require_no_problem(before)
    if before.pending:
        command.upgrade(config, "head")
    scripts = _write_revision(project, config, message)
    if scripts:
        command.upgrade(config, "head")
    command.check(config)
    at = scripts[-1].revision if scripts else before.head or ""
    applied, written = ([script.revision for script in group] for group in (before.pending, scripts))
    files = [run.from_root(project, Path(script.path)) for script in scripts]
    compared = session.models_compared, session.all_notes
    findings = [finding.text() for finding in lint(project, written).findings] if written else []
    return Development(before.database, at, applied, written, files, *compared, findings)


def _write_revision(project: Project, config: Config, message: str | None) -> list[Script]:
    """Writes a revision with Alembic and logs its text; returns none if the models and the database are equal."""
    with redirect_stdout(io.StringIO()):  # Alembic and its hooks print their progress there
        written = command.revision(config, message, autogenerate=True)
    scripts = [script for script in (written if isinstance(written, list) else [written]) if script is not None]
    for script in scripts:
        path = Path(script.path)
        log.info("\n%s\n\n%s", run.from_root(project, path), path.read_text(encoding="utf-8"))
    return scripts


def _namer(ask: Ask | None) -> Callable[[list[Any]], str]:
    """Returns the function that names a revision where the command line gives no message."""

    def name(diffs: list[Any]) -> str:
        from app.migrations.autogenerate import offered_name

        offered = offered_name(diffs)
        if ask is None:
            raise ConfigurationError(f'A revision needs a name, and nobody can be asked: schema dev -m "{offered}"')
        return ask(f"Name of the revision [{offered}]:", offered)

    return name
