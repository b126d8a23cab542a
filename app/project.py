"""Binds this schema to the engine; the only file that knows both.

from app.project import PROJECT

engine = PROJECT.engine()
"""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import sqlalchemy as sa

from app import database_url, settings
from app.migrations.project import Limits, Project
from app.partitions import declared_partitions

if TYPE_CHECKING:
    from sqlalchemy.orm import DeclarativeBase


def _base() -> "type[DeclarativeBase]":
    from app.models import Base

    return Base


def _database_url() -> sa.URL:
    url = database_url.parse(settings.load().database_url)
    file, folder = database_url.sqlite_file(url), settings.folder()
    if file is None or file.is_absolute() or folder == Path.cwd():
        return url
    name = str(url.database)
    in_uri = name.removeprefix("file:")
    return url.set(database=f"file:{quote(str(folder))}/{in_uri}" if in_uri != name else str(folder / file))


def _limits() -> Limits:
    number = settings.load().number
    return Limits(
        lock=number("SCHEMA_LOCK_TIMEOUT", Limits.lock),
        table_lock=number("SCHEMA_TABLE_LOCK_TIMEOUT", Limits.table_lock),
        statement=number("SCHEMA_STATEMENT_TIMEOUT", Limits.statement),
        retry=number("SCHEMA_RETRY_TIMEOUT", Limits.retry),
    )


def _partition_settings() -> dict[str, dict[str, str]]:
    return settings.load().partitions(declared_partitions(_base().metadata))


PROJECT = Project(
    root=Path(__file__).resolve().parents[1],
    base=_base,
    database_url=_database_url,
    limits=_limits,
    partition_settings=_partition_settings,
    keyrings=("ENCRYPTION_KEY", "GITHUB_TOKEN_ENCRYPTION_KEY", "API_KEY_HASH_KEY"),
    # Version 0.1 wrote these two without revision_api; what they do is the same.
    former_checksums={
        "20251213000000": frozenset({"e2e642d3e6c346f084e8e03414968d74e2763bcd48f23f52bbdce7e8e5094d93"}),
        "20260228000000": frozenset({"dc2447fa789ff3d841d2cf3d15293ab00397fa2efd80fc35ed3cb7c354d395b7"}),
    },
)
