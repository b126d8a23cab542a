"""Fills every table of a database with rows, and reads every value, as raw SQL."""

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from tests.support.database_access import connected
from tests.support.environment import ROOT
from tests.support.schema_dump import OURS

Values = dict[str, dict[str, tuple[Any, ...]]]

ENCRYPTED = {"api_key": "enc", "github_access_token": "token", "github_refresh_token": "token"}
TEXTS = ["plain", "", "ünïcode 🔑 'quoted' \"twice\" \\ %s :name {}\n\ttail "]

_POSTGRESQL = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = current_schema() AND NOT EXISTS (
    SELECT FROM pg_foreign_table WHERE ftrelid = to_regclass(quote_ident(table_name))
) ORDER BY table_name, ordinal_position
"""
_SQLITE = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"


def fill(url: str, *numbers: int) -> None:
    """Puts a row into each table for each number, every second one with nothing but what is required.

    Secrets are ciphertexts that the running services wrote, so no revision has a reason to touch them.
    """
    with connected(url) as connection:
        for table in _tables(connection):
            for number in numbers:
                required = [c for c in table.columns if c.primary_key or not (c.nullable or c.server_default)]
                columns = required if number % 2 else list(table.columns)
                names = ", ".join(column.name for column in columns)
                values = ", ".join(_literal(column, number) for column in columns)
                statement = f"INSERT INTO {table.name} ({names}) VALUES ({values})"
                escaped = statement.replace("%", "%%") if connection.dialect.name == "postgresql" else statement
                connection.exec_driver_sql(escaped)


def values_in(url: str) -> Values:
    """Every value of every table by table and column, as the database itself writes it; rows by their key."""
    found: Values = {}
    with connected(url) as connection:
        postgres = connection.dialect.name == "postgresql"
        text = "{}::text" if postgres else "typeof({0}) || ' ' || quote({0})"
        for table, columns in _columns(connection, _POSTGRESQL if postgres else _SQLITE).items():
            read = ", ".join(text.format(f'"{column}"') for column in columns)
            rows = connection.exec_driver_sql(f'SELECT {read} FROM "{table}" ORDER BY 1')
            found[table] = dict(zip(columns, zip(*rows.all(), strict=True), strict=False))
    return found


def common(first: Values, second: Values) -> Values:
    """What `first` says of the tables and columns that both have."""
    return {
        table: {column: values for column, values in columns.items() if column in second[table]}
        for table, columns in first.items()
        if table in second
    }


def _columns(connection: sa.Connection, question: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table, column in connection.exec_driver_sql(question):
        if table not in OURS:
            found.setdefault(table, []).append(column)
    return found


def _tables(connection: sa.Connection) -> list[sa.Table]:
    metadata = sa.MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name not in OURS]


def _literal(column: sa.Column[Any], number: int) -> str:
    kind = column.type
    if isinstance(kind, sa.Boolean):
        return ("true", "false")[number // 2 % 2]
    if isinstance(kind, sa.Integer):
        is_key = column.primary_key or column.foreign_keys
        return str(number + 1 if is_key else 2**40 + number if isinstance(kind, sa.BigInteger) else 2**31 - 1 - number)
    if isinstance(kind, sa.Numeric):
        return ("12345678.9012", "0", "-0.0001")[number % 3]
    return "'" + _text(column, number).replace("'", "''") + "'"


def _text(column: sa.Column[Any], number: int) -> str:
    kind = column.type
    if column.name in ENCRYPTED:
        vectors = ROOT / f"tests/vectors/vectors_{ENCRYPTED[column.name]}.json"
        return str(json.loads(vectors.read_text(encoding="utf-8"))[number]["ciphertext"])
    if isinstance(kind, sa.Uuid | sa.CHAR):
        return f"{number + 1:032x}"
    if isinstance(kind, sa.DateTime):
        return f"2025-03-0{number + 1} 04:05:06.78900{number}"
    if isinstance(kind, postgresql.ARRAY):
        return '{"read","a \\"b\\" ü"}'
    if isinstance(kind, sa.JSON):
        return json.dumps({"b": [number, None], "a": TEXTS[number % 3]}, indent=number, ensure_ascii=False)
    keys = [key for key in column.table.constraints if isinstance(key, sa.UniqueConstraint | sa.PrimaryKeyConstraint)]
    unique = column.foreign_keys or any(column.name in key.columns for key in keys)
    return f"{column.name} {number}" if unique else TEXTS[number % 3][: getattr(kind, "length", None)]
