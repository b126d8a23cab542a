"""Revisions below the version of a database that it never ran: put there by a merge, or left due by an adoption."""

from collections.abc import Collection

import sqlalchemy as sa
from alembic.runtime.migration import RevisionStep
from alembic.script import ScriptDirectory

from app.migrations.line import Place, standing_checksums
from app.migrations.own_tables import VERSION_TABLE
from app.migrations.run.ledger import Ledger, Outcome
from app.migrations.session import Direction

_REASON = "a row of the version table, where another row stands for it now"


class MissingStep(RevisionStep):
    """Applies a revision below the database's version; until `settle` the version table has a row of its own for it."""

    def should_create_branch(self, heads: Collection[str]) -> bool:
        """Returns True: the version that the database is at stays."""
        del heads
        return True


class DueStep(RevisionStep):
    """A data revision whose schema the database has. Alembic never gets it, since the version stays as it is."""


def missing_steps(script: ScriptDirectory, place: Place) -> list[RevisionStep]:
    """Returns the steps that apply what the database lacks below its version, and what is due there."""
    missing = [MissingStep(script.revision_map, script.get_revision(revision), True) for revision in place.missing]
    return [*missing, *(DueStep(script.revision_map, script.get_revision(revision), True) for revision in place.due)]


def upgrade_steps(script: ScriptDirectory, place: Place, revision: str = "head") -> list[RevisionStep]:
    """Returns the steps of an upgrade: first what the database lacks below its version, then Alembic's own."""
    steps = script._upgrade_revs(revision, place.rows)  # type: ignore[arg-type]  # noqa: SLF001 - as Alembic's upgrade
    return [*missing_steps(script, place), *steps]


def settle(connection: sa.Connection, ledger: Ledger, place: Place, heads: Collection[str]) -> None:
    """Gives the version table the rows that a place has; the lock must be held.

    A row that goes was the proof that its revision is applied, so the ledger keeps that.

    Args:
        connection: in no transaction.
        ledger: of the same connection.
        place: the database's place.
        heads: the rows that the version table has.
    """
    version = sa.table(VERSION_TABLE, sa.column("version_num"))
    with connection.begin():
        ledger.create()
        standing = standing_checksums(ledger.entries())
        for surplus in sorted({*heads} - {*place.rows}):
            connection.execute(sa.delete(version).where(version.c.version_num == surplus))
            if surplus not in standing:
                ledger.record(surplus, Direction.STAMP, Outcome.ADOPTED, None, _REASON)
        for row in sorted({*place.rows} - {*heads}):
            connection.execute(sa.insert(version).values(version_num=row))
