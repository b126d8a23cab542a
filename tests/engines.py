"""One engine for each database: it keeps what it has compiled, and what it knows of the server."""

from functools import lru_cache

import sqlalchemy as sa

from app import db


@lru_cache(maxsize=32)
def engine(url: str) -> sa.Engine:
    """An engine for a test's own questions, and for commands in this process; not for a database in memory."""
    return db.migration_engine(url)
