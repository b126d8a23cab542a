"""Binds one schema to the engine: its folder, its models, its database and its limits."""

import io
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from configparser import Error as ConfigParserError
from configparser import InterpolationError
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app import database_url, db
from app.backfill import LEASES_TABLE
from app.errors import SettingsError
from app.migrations import own_tables
from app.migrations.ahead import Ahead, read_ahead
from app.migrations.line import Line, read_line
from app.migrations.own_tables import LEDGER_TABLE, VERSION_TABLE
from app.migrations.phases import Phase
from app.partitions import Declared, declarations, declared_partitions

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
    from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

    from app.encryption import EncryptedColumn, HashedColumn

BASE = "base"  # what Alembic calls the place before the first revision
_HOUR = 3600
OWN_TABLES = (VERSION_TABLE, LEDGER_TABLE, LEASES_TABLE)  # part of no model


@dataclass(frozen=True)
class Limits:
    """Limits of a run's waiting and trying, in seconds.

    Attributes:
        lock: the longest wait for another run.
        table_lock: the longest wait of a statement for a table; 0 is no limit.
        statement: the longest time of a statement that changes the schema; 0 is no limit.
        retry: how long a revision that meets a lock is tried again; 0 is never.
    """

    lock: float = 60
    table_lock: float = 3
    statement: float = 60
    retry: float = 120


@dataclass(frozen=True)
class Project:
    """One schema. Each part is a function, which a command calls when it needs the part; workers pickle them.

    Attributes:
        root: the folder of `alembic.ini`, `alembic/versions` and `alembic/snapshots`.
        base: gives the declarative base of the models, imported when a command compares with them.
        database_url: gives the URL of the database, where a command is given none and `sqlalchemy.url` isn't set.
        limits: gives the limits of a run.
        keyrings: the variables of the writing keys; a key in hexadecimal is for the first.
        partition_settings: gives values that replace those of a declaration, by table: `every`, `keep`, `ahead`.
        former_checksums: checksums that an applied revision may have had before its code was rewritten, by revision.
    """

    root: Path
    base: "Callable[[], type[DeclarativeBase]]"
    database_url: Callable[[], sa.URL]
    limits: Callable[[], Limits] = Limits
    keyrings: Sequence[str] = ()
    former_checksums: Mapping[str, frozenset[str]] = field(default_factory=dict)
    partition_settings: Callable[[], Mapping[str, Mapping[str, str]]] = dict

    def metadata(self) -> sa.MetaData:
        """Returns the tables of the models.

        Raises:
            ConfigurationError: SQLAlchemy refuses a model, such as a CHECK without the name that a convention needs.
        """
        try:
            return self.base().metadata
        except sa.exc.SQLAlchemyError as error:
            from app.migrations.errors import ConfigurationError  # loads Alembic

            frames = [frame for frame in extract_tb(error.__traceback__) if "sqlalchemy" not in frame.filename]
            place = f"{Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else "unknown place"
            text = " ".join(str(error).split())
            raise ConfigurationError(f"The models can't be loaded ({place}): {text}") from None

    def tables(self) -> list[str]:
        """Returns the names of the models' tables."""
        return list(self.metadata().tables)

    def small_tables(self) -> list[str]:
        """Returns the tables that may be locked, as their models say: `info={"small": True}`."""
        return small_tables(self.metadata())

    def partitions(self) -> Mapping[str, str]:
        """Returns the tables that may be partitioned, each with its partition column."""
        return declared_partitions(self.metadata())

    def declarations(self) -> Mapping[str, Declared]:
        """Returns the declarations of partitions by table, with the values of the settings.

        Raises:
            SchemaError: a declaration or a setting can't be used.
        """
        settings = self.partition_settings()
        declared = declarations(self.metadata())
        return {table: own.with_settings(settings.get(table, {})) for table, own in declared.items()}

    def encrypted_columns(self) -> "Iterable[EncryptedColumn]":
        """Returns the columns of secrets of the models."""
        from app.encryption import encrypted_columns

        return encrypted_columns(self.base())

    def hashed_columns(self) -> "Iterable[HashedColumn]":
        """Returns the columns of keyed hashes of the models."""
        from app.encryption import hashed_columns

        return hashed_columns(self.metadata())

    def config(self, connection: sa.Engine | sa.Connection | None = None) -> "Config":
        """Returns Alembic's configuration: `alembic.ini`, or the file that `ALEMBIC_CONFIG` names.

        Args:
            connection: what Alembic's commands run on, instead of the project's database.
        """
        from alembic.config import Config

        from app.migrations import one_command

        one_command.take_turns()
        config = Config(os.environ.get("ALEMBIC_CONFIG") or self.root / "alembic.ini", stdout=io.StringIO())
        if connection is not None:
            config.attributes["connection"] = connection
        return config

    def with_url_of(self, config: "Config") -> "Project":
        """Returns the same project on the database that `sqlalchemy.url` names, if the configuration has one."""
        from alembic.util import CommandError

        try:
            url = config.get_main_option("sqlalchemy.url")
        except InterpolationError:  # its text has the password
            raise SettingsError("sqlalchemy.url of the configuration has a single %: write it as %%.") from None
        except (UnicodeDecodeError, ConfigParserError) as error:
            reason = " ".join(str(error).split())
            raise SettingsError(f"{config.config_file_name}: can't be read ({reason}).") from None
        except CommandError as error:  # there is no such file
            raise SettingsError(f"{str(error).rstrip('.')}.") from None
        return replace(self, database_url=partial(_url_of_config, url)) if url else self

    def engine(self, **options: Any) -> sa.Engine:
        """Makes an application's engine: see `db.engine`."""
        return db.engine(self.database_url(), **options)

    def sessions(self, **options: Any) -> "sessionmaker[Session]":
        """Makes what gives an application its sessions: see `db.sessions`."""
        return db.sessions(self.database_url(), **options)

    def async_engine(self, **options: Any) -> "AsyncEngine":
        """Makes the engine of an application that uses asyncio: see `db.async_engine`."""
        return db.async_engine(self.database_url(), **options)

    def async_sessions(self, **options: Any) -> "async_sessionmaker[AsyncSession]":
        """Makes what gives such an application its sessions: see `db.async_sessions`."""
        return db.async_sessions(self.database_url(), **options)

    def is_current(self, bind: sa.Engine | sa.Connection, phase: str | None = None) -> bool:
        """Returns whether a database has every revision that this code needs to start, and takes rows of now.

        Partitions that run out are a warning in the log `app.migrations`, at most once an hour; only a table without a
        partition for the rows of this moment isn't current. See `missing` and `partitions_ahead`.
        """
        if isinstance(bind, sa.Engine) and bind.dialect.name == "postgresql":
            with bind.connect() as connection:
                return self.is_current(connection, phase)
        if self.missing(bind, phase):
            return False
        low = [ahead for ahead in self.partitions_ahead(bind) if ahead.is_low]
        for ahead in low:
            _warn(str(ahead.warning))
        return all(ahead.holds_now for ahead in low)

    def partitions_ahead(self, bind: sa.Engine | sa.Connection) -> list[Ahead]:
        """Counts the partitions that lie ahead of each table whose partitions are kept by `schema partitions`.

        It is one statement, for a metrics endpoint too; loads no Alembic and no models. None on SQLite.

        Args:
            bind: an engine, or a connection, whose transaction this joins.

        Raises:
            sqlalchemy.exc.DBAPIError: the database can't be reached or read.
        """
        if bind.dialect.name != "postgresql":
            return []
        if isinstance(bind, sa.Engine):
            with bind.connect() as connection:
                return read_ahead(connection)
        return read_ahead(bind)

    def missing(self, bind: sa.Engine | sa.Connection, phase: str | None = None) -> list[str]:
        """Returns the revisions of this code that a database lacks, oldest first; loads no Alembic.

        A database that is *ahead* of the code lacks none: during a rolling deploy old code meets the new schema.

        Args:
            bind: an engine, or a connection, whose transaction this joins.
            phase: `expand` or `migrate`: leaves out what runs after that phase; by default nothing is.

        Raises:
            ValueError: there is no such phase.
            sqlalchemy.exc.DBAPIError: the database can't be reached or read.
            FileNotFoundError: the revisions aren't there: the package runs from a checkout, or an image that holds it.
        """
        line, last = _line(self.root / "alembic" / "versions"), Phase(phase) if phase is not None else None
        if isinstance(bind, sa.Engine):
            if (file := database_url.sqlite_file(bind.url)) is not None and not file.exists():
                return line.needed(line.order, last)  # connecting would create it
            with bind.connect() as connection:
                return self.missing(connection, phase)
        rows = own_tables.version_rows(bind)
        return line.needed(line.lacks(rows, _attempts(bind) if rows else []), last)


def small_tables(metadata: sa.MetaData) -> list[str]:
    """Returns the tables that their models declare small: `info={"small": True}`."""
    return [table.name for table in metadata.tables.values() if table.info.get("small")]


def _url_of_config(text: str) -> sa.URL:
    try:
        return database_url.parse(text)
    except SettingsError as error:
        raise SettingsError(str(error).replace("DATABASE_URL", "sqlalchemy.url of the configuration")) from None


_warned: dict[str, float] = {}


def _warn(text: str) -> None:
    """Logs a warning, the same one at most once an hour: a readiness probe asks every few seconds."""
    if (last := _warned.get(text)) is None or time.monotonic() - last > _HOUR:
        _warned[text] = time.monotonic()
        logging.getLogger("app.migrations").warning("%s", text)


@cache
def _line(versions: Path) -> Line:
    return read_line(versions)


def _attempts(connection: sa.Connection) -> Sequence[Any]:
    """Returns the ledger's rows; none where there is none, or the role may not read it."""
    if connection.dialect.name == "postgresql":
        # A refused query would end the caller's transaction.
        question = f"SELECT has_table_privilege(to_regclass('{LEDGER_TABLE}'), 'SELECT')"
        readable = bool(connection.exec_driver_sql(question).scalar())
    else:
        readable = own_tables.exists(connection, LEDGER_TABLE)
    # Rows about partitions say nothing of revisions, and are many.
    query = f"SELECT revision, direction, outcome, checksum FROM {LEDGER_TABLE} {own_tables.ATTEMPTS} ORDER BY id"
    return connection.exec_driver_sql(query).all() if readable else []
