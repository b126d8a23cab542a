"""Makes the snapshots of every revision, in a scratch database that is dropped again."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command

from app.migrations import access, snapshots
from app.migrations.snapshots import Snapshot, Snapshots


def snapshot(engine: sa.Engine | None = None) -> list[Path]:
    """Writes what every revision makes, on a scratch database of the same kind; removes what no revision makes.

    Raises:
        MigrationError: a scratch database can't be made, or a revision fails.
    """
    kept = Snapshots(access.configuration())
    with access.scratch(engine) as scratch_engine:
        dialect = scratch_engine.dialect.name
        taken = _every_snapshot(scratch_engine)
    for revision in kept.saved(dialect) - taken.keys():
        kept.path(dialect, revision).unlink()
    return [kept.save(dialect, revision, found) for revision, found in taken.items()]


def stale_snapshots(engine: sa.Engine | None = None) -> list[Path]:
    """The files that `snapshot` would write otherwise, add or remove.

    Raises:
        MigrationError: as `snapshot`.
    """
    kept = Snapshots(access.configuration())
    with access.scratch(engine) as scratch_engine:
        dialect = scratch_engine.dialect.name
        taken = _every_snapshot(scratch_engine)
    stale = kept.saved(dialect) - taken.keys()
    for revision, found in taken.items():
        path = kept.path(dialect, revision)
        if not path.is_file() or path.read_text(encoding="utf-8") != snapshots.text_of(found):
            stale.add(revision)
    return [kept.path(dialect, revision) for revision in sorted(stale)]


def _every_snapshot(engine: sa.Engine) -> dict[str, Snapshot]:
    """What each revision makes, oldest first, on an empty database."""
    taken = {}
    for revision in reversed(list(access.history().walk_revisions())):
        command.upgrade(access.scratch_configuration(engine), revision.revision)
        with engine.connect() as connection:
            taken[revision.revision] = snapshots.take(connection)
    return taken
