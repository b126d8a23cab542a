"""`schema check`, and the three ways out of a drift, as functions that a program can call."""

import io
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import Script

from app.migrations import snapshots
from app.migrations.drift import compare, resolve
from app.migrations.drift import revert as reverting
from app.migrations.drift.adopt import Adoption
from app.migrations.drift.compare import Check, Drift
from app.migrations.errors import ConfigurationError, MigrationError, PendingRevisions
from app.migrations.project import Project
from app.migrations.run import connections, scratch, status
from app.migrations.session import Session
from app.migrations.snapshots import Snapshots
from app.migrations.snapshots.ddl import Plan
from app.migrations.snapshots.differences import differences


@dataclass(frozen=True)
class Adopted:
    """What `adopt` wrote.

    Attributes:
        file: the revision.
        snapshot: what it makes on this kind of database; the other kind's is still to be made.
        model_edits: what to change in the models, a line each.
    """

    revision: str
    file: Path
    snapshot: Path
    model_edits: list[str]


def check(project: Project, engine: sa.Engine | None = None) -> Check:
    """Compares the database with what its revision makes, and at head with the models. Writes nothing.

    Raises:
        MigrationError: the database can't be reached, or its revision has no snapshot.
    """
    script = connections.history(project)
    with connections.reading(project, engine) as connection:
        found = status.read_status(connection, project, script, connections.shown(project, engine))
        return compare.read(connection, project.config(), script, found)


def plan_revert(project: Project, engine: sa.Engine | None = None) -> tuple[Plan, list[str]]:
    """What `revert` would run now, and what that would lose. Writes nothing.

    Raises:
        MigrationError: there is no statement for one of the differences.
    """
    with connections.reading(project, engine) as connection:
        planned = reverting.plan(connection, _drift(project, connection))
        return planned, reverting.at_risk(connection, planned)


def revert(
    project: Project,
    engine: sa.Engine | None = None,
    *,
    accept_data_loss: bool = False,
    lock_timeout: float | None = None,
) -> Plan:
    """Brings the database back to what its revision makes, except for what was accepted; writes that into the ledger.

    Args:
        project: whose database.
        engine: the database.
        accept_data_loss: tables and columns that hold something may go.
        lock_timeout: as in `deploy`.

    Raises:
        DataLossRefused: rows or values would go, and nobody has said that they may.
        MigrationError: a statement failed, or hadn't the effect it should have; all of the transaction is rolled back.
    """
    with connections.writing(project, engine, lock_timeout) as (_, held_engine):
        with connections.transaction(held_engine) as connection:
            found = _drift(project, connection)
            planned = reverting.run(connection, project, found, accept_data_loss=accept_data_loss)
        reverting.finish(held_engine, planned, found)
        return planned


def adopt(
    project: Project,
    message: str,
    engine: sa.Engine | None = None,
    *,
    lock_timeout: float | None = None,
) -> Adopted:
    """Writes a revision that makes every other database like this one, and records it here as applied.

    Args:
        project: whose revision.
        message: names the revision.
        engine: the database; it must be at head.
        lock_timeout: as in `deploy`.

    Raises:
        ConfigurationError: there is no name, nothing to adopt, or something that no revision should take over.
        PendingRevisions: the database isn't at head.
    """
    if not message.strip():
        raise ConfigurationError("--adopt needs a --message: it names the revision.")
    with connections.writing(project, engine, lock_timeout) as (config, held_engine):
        found = check(project, held_engine)
        if found.status.problems:
            raise found.status.problems[0]
        if found.status.at != [found.status.head]:
            raise PendingRevisions(
                "A revision can only follow the last one. Bring the database there: alembic upgrade head"
            )
        with held_engine.connect() as connection:
            adoption = Adoption(connection, found.drift)
        written = _write(config, message, adoption)
        _must_make(project, held_engine, written, adoption)
        kept = Snapshots(config).save(held_engine.dialect.name, written.revision, adoption.snapshot)
        with connections.transaction(held_engine) as connection:
            resolve.record_adopted(connection, project.root, connections.history(project), written.revision, message)
    files = connections.from_root(project, Path(written.path)), connections.from_root(project, kept)
    return Adopted(written.revision, *files, adoption.model_edits(partial(_model_of, project)))


def _write(config: Config, message: str, adoption: Adoption) -> Script:
    config.set_section_option("post_write_hooks", "hooks", "tidy")  # what it makes is made sure of here
    session = Session.of(config)
    session.adopts, session.ask, session.not_a_rename = True, lambda *_: "y", adoption.not_a_rename
    with redirect_stdout(io.StringIO()):  # Alembic says there what it does
        written = command.revision(config, message, autogenerate=True, process_revision_directives=adoption.directives)
    assert isinstance(written, Script)
    return written


def _must_make(project: Project, engine: sa.Engine, written: Script, adoption: Adoption) -> None:
    """Runs a new revision on a scratch database at the revision before, if one can be made.

    Raises:
        MigrationError: it doesn't make what is there; it is removed again.
    """
    try:
        with scratch.scratch_database(project, engine) as scratch_engine:
            with connections.transaction(scratch_engine) as connection:
                scratch.prepare(connection, adoption.expected, connections.history(project), str(written.down_revision))
            scratch.upgrade(project.config(scratch_engine), written.revision)
            with scratch_engine.connect() as connection:
                wrong = differences(adoption.snapshot, snapshots.take(connection))
    except scratch.NoScratch:
        return
    if wrong:
        Path(written.path).unlink()
        listed = "".join(f"\n  {difference}" for difference in wrong)
        raise MigrationError(f"A revision made from this wouldn't make it elsewhere, so it wasn't kept:{listed}")


def accept(
    project: Project, name: str, reason: str, engine: sa.Engine | None = None, *, lock_timeout: float | None = None
) -> list[str]:
    """Records that an object may differ from what the revision makes, as long as it differs in exactly this way.

    Returns:
        What is accepted, a line for each difference.

    Raises:
        ConfigurationError: it doesn't differ, or no reason is given.
    """
    with (
        connections.writing(project, engine, lock_timeout) as (_, held_engine),
        connections.transaction(held_engine) as connection,
    ):
        return reverting.accept(connection, project.root, _drift(project, connection), name, reason)


def _drift(project: Project, connection: sa.Connection) -> Drift:
    script = connections.history(project)
    found = status.read_status(connection, project, script, "")
    return compare.of(connection, project.config(), script, found.at[0] if found.at else None, found.entries)


def _model_of(project: Project, table: str) -> str | None:
    """Returns the model of a table, and its file."""
    for mapper in project.base().registry.mappers:
        if isinstance(mapper.local_table, sa.Table) and mapper.local_table.name == table:
            return f"{mapper.class_.__name__} in {mapper.class_.__module__.replace('.', '/')}.py"
    return None
