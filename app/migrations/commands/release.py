"""`schema release`: records in alembic.ini which revision's code runs everywhere, and what it no longer maps."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from app.migrations import releases, run
from app.migrations.errors import ConfigurationError, HistoryError
from app.migrations.project import OWN_TABLES, Project
from app.migrations.snapshots import Snapshot, Snapshots, address_of, of_kind, own_name, owner_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import DeclarativeBase, Mapper


@dataclass(frozen=True)
class Released:
    """The record of a release.

    Attributes:
        file: the configuration that names it now.
        released: the revision.
        unmapped: tables and columns of that revision that the models don't use.
        changed: the file said something else before.
    """

    file: Path
    released: str
    unmapped: list[str]
    changed: bool


def release(
    project: Project, revision: str | None = None, *, of_database: bool = False, engine: sa.Engine | None = None
) -> Released:
    """Records a release in alembic.ini; the models are those of the checkout, so they must be that release's.

    Args:
        project: the project.
        revision: the newest revision that the released code knows; None for the last of this code.
        of_database: take the revision from the database.
        engine: the database; the project's if None.

    Raises:
        HistoryError: there is no such revision, or it has no snapshot.
        ConfigurationError: alembic.ini can't be written.
    """
    history, config = run.history(project), project.config()
    if of_database:
        with run.reading(project, engine) as connection:
            found = releases.of_database(connection, config)
        if found is None:
            raise HistoryError(f"{run.shown(project, engine)} is at no revision: bring it to one with alembic upgrade")
        revision = found.revision
    known = [script.revision for script in history.walk_revisions()]
    chosen = revision or known[0]
    if chosen not in known:
        raise HistoryError(f"There is no revision {chosen}: the last one is {known[0]}.")
    unmapped = _unmapped(Snapshots(config).of("postgresql", chosen), project.base())
    file = Path(str(config.config_file_name))
    return Released(file, chosen, unmapped, _write(file, chosen, unmapped))


def _write(file: Path, revision: str, unmapped: list[str]) -> bool:
    try:
        before = file.read_bytes()
        text = before.decode("utf-8", "surrogateescape")  # a comment in another encoding stays as it is
        after = releases.with_release(text, revision, unmapped).encode("utf-8", "surrogateescape")
        if after != before:
            file.write_bytes(after)
    except OSError as error:
        raise ConfigurationError(f"{file}: the release can't be written there ({error.strerror}).") from None
    return after != before


def _unmapped(snapshot: Snapshot, base: "type[DeclarativeBase]") -> list[str]:
    """Returns the tables of a snapshot that the models don't use, and such columns of those that they use."""
    used = {(column.table.name, column.name) for column in _used(base)}
    tables = {table for table, _ in used}
    unused = [name for name in map(own_name, of_kind(snapshot, "table")) if name not in tables | {*OWN_TABLES}]
    columns = [name for name in of_kind(snapshot, "column") if owner_of(name) in tables]
    unused += [address_of(name) for name in columns if (owner_of(name), own_name(name)) not in used]
    # The list in alembic.ini can't hold other names; left out, they count as used.
    return [name for name in unused if re.fullmatch(r"[^\s,%]+", name)]


def _used(base: "type[DeclarativeBase]") -> "Iterator[sa.Column[object]]":
    """Yields the columns that the ORM reads or writes, and all of tables that no class maps."""
    mappers = [*base.registry.mappers]
    mapped = {table for mapper in mappers for table in mapper.tables}
    for table in base.metadata.tables.values():
        if table not in mapped:  # code may use it as it is
            yield from table.columns
    for mapper in mappers:
        for element in _elements(mapper):
            for part in sa.sql.visitors.iterate(element):
                if isinstance(part, sa.Column) and isinstance(part.table, sa.Table):
                    yield part


def _elements(mapper: "Mapper[object]") -> "Iterator[sa.ClauseElement]":
    yield from mapper.primary_key
    for attribute in mapper.column_attrs:
        yield from attribute.columns
    for relationship in mapper.relationships:
        yield relationship.primaryjoin
        if relationship.secondaryjoin is not None:
            yield relationship.secondaryjoin
