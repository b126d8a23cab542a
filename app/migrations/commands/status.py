"""The status of a database, and claims about revisions that failed half-way."""

import sqlalchemy as sa

from app import database_url, db
from app.migrations import run
from app.migrations.drift import Claim, Resolution, Resolver
from app.migrations.project import Project
from app.migrations.run import Status


def read_status(project: Project, engine: sa.Engine | None = None) -> Status:
    """Reads the revision of a database, the pending revisions and every problem; writes and creates nothing.

    Raises:
        SchemaError: the database can't be reached, or its version table can't be read.
    """
    history = run.history(project)
    url = engine.url if engine is not None else run.database_url(project)
    file = database_url.sqlite_file(url)
    missing_file = file.absolute() if file is not None and not db.has_file(url) else None
    with run.reading(project, engine) as connection:
        status = run.read_status(connection, project, history, run.shown(project, engine), project.tables)
    if missing_file is not None:
        status.notes.append(f"There is no file {missing_file} yet: the first upgrade makes it.")
    return status


def require_no_problem(status: Status) -> None:
    """Raises the first problem of a database."""
    if status.problems:
        raise status.problems[0]


def resolve(
    project: Project, claim: Claim, engine: sa.Engine | None = None, *, lock_timeout: float | None = None
) -> Resolution:
    """Proves a claim about a revision with the live schema and records it; writes nothing if it can't be proved.

    Args:
        project: the project of the revision.
        claim: the revision is applied, or rolled back; `force` with a reason replaces the proof.
        engine: the database.
        lock_timeout: as in `deploy`.

    Raises:
        UnresolvedFailure: the claim doesn't hold; the message lists what contradicts it.
        ConfigurationError: the claim is forced, without a reason.
        MigrationError: the revision doesn't exist or isn't the next one, or the lock isn't free.
    """
    claim.require_reason()
    with (
        run.writing(project, engine, lock_timeout) as (_, held_engine),
        run.transaction(held_engine) as connection,
    ):
        return Resolver(connection, project, run.history(project)).resolve(claim)
