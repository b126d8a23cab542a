"""Backups before a deployment: a copy of a SQLite file, or the line that runs `pg_dump`."""

import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from app import db
from app.migrations.errors import ConfigurationError, MigrationError


def backup_sqlite(engine: sa.Engine, target: Path) -> Path | None:
    """Copies a SQLite database to a new file, while other processes may write to the database.

    Returns:
        The file; None if there is no database yet.

    Raises:
        ConfigurationError: the database isn't a SQLite file, or the target exists.
        MigrationError: the copy failed; no file is left.
    """
    source = require_source(engine.url, target)
    if not source.exists():
        return None
    partial = target.with_name(f"{target.name}.partial")
    try:
        with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(partial)) as copy:
            live.backup(copy, pages=1000)
        partial.chmod(source.stat().st_mode)  # the copy must not be readable by more people than the database
        partial.rename(target)
    except (OSError, sqlite3.Error) as error:
        raise MigrationError(f"The backup to {target} failed, so nothing was changed: {error}") from None
    finally:  # an interrupt too leaves none of them
        for suffix in ("", "-journal", "-wal", "-shm"):
            partial.with_name(f"{partial.name}{suffix}").unlink(missing_ok=True)
    return target


def require_source(url: sa.URL, target: Path) -> Path:
    """Returns the SQLite file of a URL, which may not exist yet.

    Raises:
        ConfigurationError: the database isn't a SQLite file, or the target exists.
    """
    if url.get_backend_name() == "postgresql":
        raise ConfigurationError(f"--backup copies a SQLite file. For this database, run: {pg_dump_line(url, target)}")
    source = db.sqlite_file(url)
    if source is None:
        raise ConfigurationError("--backup copies a SQLite file, and this database is in memory.")
    if target.exists():
        raise ConfigurationError(f"{target} is there already: name a new file for the backup.")
    return source


def pg_dump_line(url: sa.URL, target: Path) -> str:
    """Returns the command that backs up a PostgreSQL database; `pg_dump` reads the password from elsewhere."""
    query = {name: value for name, value in url.query.items() if "password" not in name}
    dumped = sa.URL.create("postgresql", url.username, None, url.host, url.port, url.database, query)
    return shlex.join(["pg_dump", "--format=custom", f"--file={target}", dumped.render_as_string()])
