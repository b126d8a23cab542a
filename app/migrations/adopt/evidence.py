"""Evidence: rows and checksums of tables before and after, and whether their file was written anew."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from app.migrations.adopt.costs import WITH_LEAVES, sizes
from app.migrations.adopt.explanation import primary_key
from app.migrations.snapshots import Snapshot, of_kind, own_name
from app.sql_text import for_driver, quoted

MOST_ROWS = 200_000  # of a table that is read as a whole; of a larger one the first rows by its key
_MOST_BYTES = 256_000_000
_SAMPLE = 10_000
_ALL = "all rows"
_NONE = "no rows"
_FILES = f"""
SELECT string_agg(pg_relation_filenode(l.oid)::text, ' ' ORDER BY l.oid) {WITH_LEAVES} AND c.relname = %s
"""


@dataclass(frozen=True)
class Evidence:
    """One table at one moment.

    Attributes:
        rows: counted; for a large table about how many.
        checksum: of the columns that were there before; None if the table can't be read.
        of: the rows that it is of: `all rows`, or `the first 10,000 rows`.
        file: of PostgreSQL: changes when the table is written anew.
    """

    rows: int
    checksum: str | None
    of: str
    file: str | None = None


@dataclass(frozen=True)
class Proof:
    """One table before and after.

    Attributes:
        state: `unchanged`, `changed meanwhile` by others, `written anew`, or `not compared` if it can't be read.
    """

    table: str
    before: Evidence
    after: Evidence
    state: str

    @property
    def as_values(self) -> dict[str, Any]:
        """Returns it for JSON."""
        return asdict(self)


def take_evidence(connection: sa.Connection, found: Snapshot, tables: list[str]) -> dict[str, Evidence]:
    """Reads the tables; a large one only in part.

    Args:
        connection: to the database.
        found: the schema before the first step: its columns are read.
        tables: their names.
    """
    known = sizes(connection, tables)
    return {table: _of_table(connection, found, table, *known[table]) for table in tables if table in known}


def compared(before: dict[str, Evidence], after: dict[str, Evidence], copied: list[str]) -> list[Proof]:
    """Compares what was read."""
    return [
        Proof(table, evidence, after[table], _state(table, evidence, after[table], copied))
        for table, evidence in before.items()
        if table in after
    ]


def _state(table: str, before: Evidence, after: Evidence, copied: list[str]) -> str:
    if before.checksum is None or after.checksum is None:
        return "not compared" if before.file == after.file and table not in copied else "written anew, not compared"
    if table in copied or before.file != after.file:
        return "written anew" if before.checksum == after.checksum else "written anew, and changed meanwhile"
    is_whole = before.of == after.of == _ALL  # else the number is an estimate
    same = before.checksum == after.checksum and (before.rows == after.rows or not is_whole)
    return "unchanged" if same else "changed meanwhile"


def _of_table(connection: sa.Connection, found: Snapshot, table: str, size: int, about: int) -> Evidence:
    is_server = connection.dialect.name == "postgresql"
    file = connection.exec_driver_sql(_FILES, (table,)).scalar() if is_server else None
    columns = [quoted(own_name(name)) for name in of_kind(found, "column", table)]
    read = _of_postgresql if is_server else _of_sqlite
    if about <= MOST_ROWS and size <= _MOST_BYTES:
        rows, checksum = read(connection, quoted(table), columns)
        return Evidence(about, None, _NONE, file) if checksum is None else Evidence(rows, checksum, _ALL, file)
    key = ", ".join(map(quoted, primary_key(found, table)))
    if not key:  # there is no order in which to read some
        return Evidence(about, None, _NONE, file)
    sample = f"(SELECT * FROM {quoted(table)} ORDER BY {key} LIMIT {_SAMPLE}) sample"
    return Evidence(about, read(connection, sample, columns)[1], f"the first {_SAMPLE:,} rows", file)


def _of_postgresql(connection: sa.Connection, source: str, columns: list[str]) -> tuple[int, str | None]:
    values = ", ".join(f"{column}::text" for column in columns)
    question = f"SELECT count(*), sum(hashtextextended(ROW({values})::text, 0)::numeric)::text FROM {source}"
    with connection.begin_nested() as savepoint:
        try:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")  # what is read is bounded
            number, total = connection.exec_driver_sql(for_driver(question, connection.dialect)).one()
        except sa.exc.DBAPIError:  # the role may not read it
            return 0, None
        finally:
            savepoint.rollback()
    return int(number), _hexadecimal(int(total or 0))


def _of_sqlite(connection: sa.Connection, source: str, columns: list[str]) -> tuple[int, str | None]:
    number, total = 0, 0
    for row in connection.exec_driver_sql(f"SELECT {', '.join(columns)} FROM {source}"):
        number += 1
        total += int.from_bytes(hashlib.blake2b(repr(tuple(row)).encode(), digest_size=8).digest())
    return number, _hexadecimal(total)


def _hexadecimal(total: int) -> str:
    return f"{total % 2**64:016x}"
