"""Facts of one table of PostgreSQL: what another table must have to stand in its place."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy as sa

from app.migrations.partitions import fact_queries as queries

_ROW_FILTERS = 150000  # the first version whose publications have filters and lists of columns
_T = TypeVar("_T")


@dataclass(frozen=True)
class Column:
    """A column; `statistics` and `options` are its statistics target and its `n_distinct`."""

    name: str
    type: str
    is_not_null: bool
    is_identity: bool
    is_generated: bool
    comment: str | None
    statistics: int | None
    options: list[str]


@dataclass(frozen=True)
class Constraint:
    """A constraint.

    Attributes:
        kind: `p`, `u`, `f`, `c`, `x`, or `n`, a NOT NULL from PostgreSQL 18 on.
        is_local: NO INHERIT.
        is_temporal: it has WITHOUT OVERLAPS or PERIOD.
        refers_to: the table that a foreign key refers to, as a statement spells it; `is_of_itself` if it is this one.
        parent: the constraint of the partitioned table that it is a part of.
    """

    name: str
    kind: str
    definition: str
    is_valid: bool
    is_local: bool
    comment: str | None
    is_temporal: bool
    columns: list[str]
    refers_to: str | None
    is_of_itself: bool
    parent: str | None


@dataclass(frozen=True)
class Incoming:
    """A foreign key of a table, whose `address` is as a statement spells it, that refers to this one."""

    name: str
    table: str
    address: str
    definition: str
    comment: str | None
    columns: list[str]
    is_ours: bool


@dataclass(frozen=True)
class Index:
    """An index.

    Attributes:
        statistics: the number and the statistics target of each expression that has one.
        constraint: the constraint that it is the index of.
        columns: of its key, empty for an expression.
        parent: the index of the partitioned table that it is a part of.
    """

    name: str
    definition: str
    is_unique: bool
    is_valid: bool
    comment: str | None
    tablespace: str | None
    is_clustered: bool
    options: list[str]
    constraint: str | None
    columns: list[str]
    included: list[str]
    statistics: list[str]
    parent: str | None


@dataclass(frozen=True)
class Trigger:
    """A trigger of the table itself, not one that a partitioned table has given it."""

    name: str
    definition: str
    enabled: str
    comment: str | None
    is_for_rows: bool
    has_transition_tables: bool


@dataclass(frozen=True)
class Statistics:
    """Extended statistics; equal ones of two tables have the same `shape`."""

    name: str
    address: str
    schema: str
    definition: str
    shape: str
    comment: str | None
    target: int | None


@dataclass(frozen=True)
class Sequence:
    """A sequence that a column owns."""

    address: str
    column: str


@dataclass(frozen=True)
class Publication:
    """A publication of the table; `is_named` unless it is of all tables, or of all of a schema."""

    name: str
    is_by_root: bool
    is_named: bool
    is_ours: bool
    owner: str
    columns: list[str] | None
    filter: str | None


@dataclass(frozen=True)
class Grant:
    """A privilege; `column` is None for the whole table."""

    grantee: str
    privilege: str
    is_grantable: bool
    column: str | None = None


@dataclass(frozen=True)
class TableFacts:
    """Facts of a table.

    Attributes:
        address: its name with its schema, quoted.
        owner: quoted, as all names of roles here.
        is_ours: this role may alter it.
        replica_identity: `d`, `f`, `n` or `i`; `replica_index` is its index then.
        granted_by_others: roles that have passed on a privilege.
        defaults: the privileges that a new table of this role has in this schema.
    """

    oid: int
    name: str
    schema: str
    address: str
    kind: str
    owner: str
    is_ours: bool
    is_owner: bool
    comment: str | None
    replica_identity: str
    tablespace: str | None
    columns: list[Column] = field(default_factory=list)
    constraints: list[Constraint] = field(default_factory=list)
    incoming: list[Incoming] = field(default_factory=list)
    indexes: list[Index] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    statistics: list[Statistics] = field(default_factory=list)
    sequences: list[Sequence] = field(default_factory=list)
    publications: list[Publication] = field(default_factory=list)
    grants: frozenset[Grant] = frozenset()
    defaults: frozenset[Grant] = frozenset()
    granted_by_others: tuple[str, ...] = ()
    replica_index: str | None = None

    @property
    def primary_key(self) -> Constraint | None:
        """Returns the primary key."""
        return next((one for one in self.constraints if one.kind == "p"), None)

    @property
    def is_identified_by_key(self) -> bool:
        """Returns whether replication identifies rows by the primary key."""
        key = self.primary_key
        is_chosen = key is not None and self.replica_index == self.index_of(key.name).name
        return self.replica_identity == "d" or (self.replica_identity == "i" and is_chosen)

    def index_of(self, constraint: str) -> Index:
        """Returns the index of a constraint."""
        return next(index for index in self.indexes if index.constraint == constraint)

    def column(self, name: str) -> Column | None:
        """Returns a column by its name."""
        return next((column for column in self.columns if column.name == name), None)

    def constraint(self, name: str) -> Constraint | None:
        """Returns a constraint by its name."""
        return next((one for one in self.constraints if one.name == name), None)

    def index(self, name: str) -> Index | None:
        """Returns an index by its name."""
        return next((index for index in self.indexes if index.name == name), None)


def table_facts(connection: sa.Connection, address: str) -> TableFacts | None:
    """Reads the facts of a table; None if there is no such table.

    Args:
        connection: reading joins its transaction.
        address: the table as a statement spells it.
    """
    row = connection.execute(sa.text(queries.TABLE), {"table": address}).one_or_none()
    if row is None:
        return None
    values = dict(row._mapping)  # noqa: SLF001 - documented
    oid = values["oid"]
    version = connection.exec_driver_sql("SELECT current_setting('server_version_num')::int").scalar_one()
    publications = queries.PUBLICATIONS if version >= _ROW_FILTERS else queries.PUBLICATIONS_OF_14

    def read(kind: type[_T], query: str) -> list[_T]:
        return _read(connection, kind, query, oid)

    grants = connection.execute(sa.text(queries.GRANTS), {"oid": oid}).all()
    return TableFacts(
        **values,
        columns=columns_of(connection, oid),
        constraints=read(Constraint, queries.CONSTRAINTS),
        incoming=read(Incoming, queries.INCOMING),
        indexes=read(Index, queries.INDEXES),
        triggers=read(Trigger, queries.TRIGGERS),
        statistics=read(Statistics, queries.STATISTICS),
        sequences=read(Sequence, queries.SEQUENCES),
        publications=read(Publication, publications),
        grants=frozenset(_grant(one) for one in grants),
        defaults=frozenset(_grant(one) for one in connection.execute(sa.text(queries.DEFAULTS), {"oid": oid})),
        granted_by_others=tuple(sorted({one.grantor for one in grants if one.grantor != values["owner"]})),
    )


def columns_of(connection: sa.Connection, oid: int) -> list[Column]:
    """Reads the columns of a table."""
    return _read(connection, Column, queries.COLUMNS, oid)


def grants_of(connection: sa.Connection, oid: int) -> frozenset[Grant]:
    """Reads the privileges on a table and on its columns."""
    return frozenset(map(_grant, connection.execute(sa.text(queries.GRANTS), {"oid": oid})))


def _read(connection: sa.Connection, kind: type[_T], query: str, oid: int) -> list[_T]:
    return [kind(**one._mapping) for one in connection.execute(sa.text(query), {"oid": oid})]  # noqa: SLF001


def _grant(row: Any) -> Grant:
    return Grant(row.grantee, row.privilege, row.is_grantable, row.column)
