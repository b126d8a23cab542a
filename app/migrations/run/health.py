"""Whether a database has all that this code needs: for an application's readiness probe.

One short query; Alembic isn't imported and no revision is loaded. Ids are times and the history is one line, so what a
database lacks can be told from the file names.
"""

from functools import cache
from pathlib import Path

import sqlalchemy as sa

from app import db

VERSIONS = Path(__file__).resolve().parents[3] / "alembic" / "versions"


def is_current(bind: sa.Engine | sa.Connection) -> bool:
    """Whether every revision of this code has been applied.

    A database that is *ahead* of the code is current: during a rolling deploy old code meets the new schema, and is
    meant to get along with it.
    """
    return not missing(bind)


def missing(bind: sa.Engine | sa.Connection) -> list[str]:
    """The revisions of this code that the database lacks, oldest first. Reads only; takes part in no migration's lock.

    Args:
        bind: an engine, or a connection, whose transaction this joins.

    Raises:
        sqlalchemy.exc.DBAPIError: the database can't be reached or read.
        FileNotFoundError: the revisions aren't there: the package runs from a checkout, or an image that holds it.
    """
    if isinstance(bind, sa.Engine):
        if (file := db.sqlite_file(bind.url)) is not None and not file.exists():
            return list(_revisions())  # connecting would create it
        with bind.connect() as connection:
            return missing(connection)
    if not sa.inspect(bind).has_table("alembic_version"):
        return list(_revisions())
    at = bind.exec_driver_sql("SELECT max(version_num) FROM alembic_version").scalar() or ""
    return [revision for revision in _revisions() if revision > at]


@cache
def _revisions() -> tuple[str, ...]:
    found = tuple(sorted(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*_*.py")))
    if not found:
        raise FileNotFoundError(f"no revisions in {VERSIONS}: run from a checkout, or an image that holds one")
    return found
