"""Reads the lock and the ledger of a database."""

import sqlalchemy as sa

from app.migrations.run import lock
from tests.support.database_access import engine, query


def holder(url: str) -> str | None:
    """Who holds the migration lock."""
    with engine(url).connect() as connection:
        found = lock.holder(connection)
    return found.name if found else None


def attempts(url: str) -> list[tuple[str, str, str]]:
    """Revision, direction and outcome of each row of the ledger, oldest first."""
    with engine(url).connect() as connection:
        if not sa.inspect(connection).has_table("schema_ledger"):
            return []
    rows = query(url, "SELECT revision, direction, outcome FROM schema_ledger ORDER BY id")
    return [(str(revision), str(direction), str(outcome)) for revision, direction, outcome in rows]


def applied(url: str) -> list[str]:
    """The revisions that upgrades have applied, in that order, each as often as it was."""
    return [
        revision for revision, direction, outcome in attempts(url) if (direction, outcome) == ("upgrade", "applied")
    ]
