"""A project with one declared table, `Events "log"`, whose rows refer to a table of keys; partitioned or plain."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

from app import database_url as urls
from app import db
from app.migrations import Project
from app.migrations.partitions.catalog import Partition, attached, standing_alone
from app.migrations.project import Limits
from app.partitions import Declared, Partitioned
from tests.support.database_access import connected, engine, execute, query

TABLE = 'Events "log"'
ADDRESS = '"Events ""log"""'
BY = "happened at"
NOW = dt.datetime.fromisoformat("2026-11-30 12:00")
LIMITS = Limits(lock=20, table_lock=2, statement=20, retry=20)

at = dt.datetime.fromisoformat


def metadata(*, zoned: bool = False, every: str = "week", keep: str | None = "90 days") -> sa.MetaData:
    """The models: keys, events, and notes that go with their event."""
    tables = sa.MetaData()
    sa.Table("keys", tables, sa.Column("id", sa.Integer, primary_key=True), sa.Column("used", sa.Integer))
    sa.Table(
        TABLE,
        tables,
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, comment="100% its key"),
        sa.Column(BY, sa.DateTime(timezone=zoned), nullable=False, index=True),
        sa.Column("key", sa.Integer, sa.ForeignKey("keys.id")),
        sa.Column("text", sa.Text),
        Partitioned(by=BY, every=every, keep=keep, ahead="2 weeks"),
    )
    return tables


@dataclass
class Kept:
    """The database of such a project, and the project."""

    url: str
    folder: Path
    zoned: bool = False
    every: str = "week"
    keep: str | None = "90 days"
    limits: Limits = LIMITS

    @property
    def project(self) -> Project:
        tables = metadata(zoned=self.zoned, every=self.every, keep=self.keep)

        def base() -> type[DeclarativeBase]:
            return type("Base", (DeclarativeBase,), {"metadata": tables})

        return Project(self.folder, base, lambda: urls.parse(self.url), lambda: self.limits)

    @property
    def declared(self) -> Declared:
        return self.project.declarations()[TABLE]

    def plain(self) -> None:
        """Makes the tables."""
        with connected(self.url) as connection:
            self.project.metadata().create_all(connection)
        execute(self.url, *(f"INSERT INTO keys (id, used) VALUES ({number}, 0)" for number in range(3)))

    def partitioned(self, *bounds: str) -> None:
        """Makes the tables, and partitions between the bounds, kept here, the first one from MINVALUE on."""
        kind = "timestamptz" if self.zoned else "timestamp"
        execute(
            self.url,
            "CREATE TABLE keys (id int PRIMARY KEY, used int)",
            "INSERT INTO keys SELECT generate_series(0, 2), 0",
            f'CREATE TABLE {ADDRESS} (id bigserial, "{BY}" {kind} NOT NULL, key int REFERENCES keys, '
            f'text text, PRIMARY KEY (id, "{BY}")) PARTITION BY RANGE ("{BY}")',
            f'CREATE INDEX "events at" ON {ADDRESS} ("{BY}")',
            f"COMMENT ON COLUMN {ADDRESS}.id IS '100% its key'",
        )
        low = None
        for high in bounds:
            self.attach(low, high)
            low = high

    def attach(self, low: str | None, high: str, *, mark: bool = True, name: str | None = None) -> None:
        """Makes a partition by hand."""
        zone = "+00" if self.zoned else ""
        name = name or f"events_{(low or 'first')[:10]}"
        start = f"'{low}{zone}'" if low else "MINVALUE"
        execute(
            self.url,
            f"CREATE TABLE \"{name}\" PARTITION OF {ADDRESS} FOR VALUES FROM ({start}) TO ('{high}{zone}')",
        )
        if mark:
            text = f"schema partitions: {TABLE} from {at(low) if low else 'MINVALUE'} to {at(high)} UTC, kept"
            execute(self.url, f"COMMENT ON TABLE \"{name}\" IS '{text}'")

    def fill(self, *moments: str) -> None:
        """Writes an event for each moment, UTC."""
        for moment in moments:
            execute(self.url, f"INSERT INTO {ADDRESS} (\"{BY}\", key, text) VALUES ('{moment}{self._zone}', 1, 'x')")

    def count(self) -> int:
        return int(str(query(self.url, f"SELECT count(*) FROM {ADDRESS}")[0][0]))

    def attached(self) -> list[Partition]:
        with db.connect(engine(self.url)) as connection:
            return attached(connection, TABLE)

    def alone(self) -> list[Partition]:
        with db.connect(engine(self.url)) as connection:
            return standing_alone(connection, TABLE)

    def bounds(self) -> list[tuple[dt.datetime | None, dt.datetime | None]]:
        return [(own.low, own.high) for own in self.attached()]

    def ledger(self, columns: str = "outcome, subject") -> Sequence[tuple[Any, ...]]:
        return query(self.url, f"SELECT {columns} FROM schema_ledger ORDER BY id")

    @property
    def _zone(self) -> str:
        return "+00" if self.zoned else ""
