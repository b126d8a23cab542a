"""Some ciphertexts of a column, to try keys on."""

from typing import Any

from app.backfill.table import Rows, fetched
from app.encryption import FieldCipher, State

# So many ciphertexts are tried, among so many rows at either end of the table.
SAMPLED_VALUES = 20
SAMPLED_ROWS = 1000


def at_the_ends(rows: Rows, cipher: FieldCipher) -> list[str]:
    """Ciphertexts from the first and the last rows: not those that happen to lie first, which changes by the hour."""
    found: dict[Any, str] = {}
    for last in (False, True):
        page = rows.end(SAMPLED_ROWS, last=last)
        sealed = [row for row in page if isinstance(row[-1], str) and cipher.state(row[-1]) is State.ENCRYPTED]
        found |= {tuple(row[:-1]): row[-1] for row in sealed[: SAMPLED_VALUES // 2]}
    return [*found.values()]


def anywhere(rows: Rows, cipher: FieldCipher) -> list[str]:
    """The first ciphertexts of the table by its key; one scan of it all."""
    [column] = map(rows.quote, rows.columns)
    dialect: Any = rows.connection.dialect.name
    marked = f"{column} <> '' AND NOT {cipher.format.plaintext_sql(column, dialect)}"
    key = rows.listed(rows.key)
    # The fence: in the order of the key, PostgreSQL would walk an index through the whole table.
    fence = "OFFSET 0" if dialect == "postgresql" else "LIMIT -1"
    found = fetched(
        rows.connection,
        f"SELECT {column} FROM (SELECT {key}, {column} FROM {rows.quote(rows.table)} WHERE {marked} {fence}) AS marked "
        f"ORDER BY {key} LIMIT {SAMPLED_VALUES}",
    )
    return [value for (value,) in found if isinstance(value, str) and cipher.state(value) is State.ENCRYPTED]
