"""The copies by which Alembic alters a SQLite table: what they would leave behind.

Alembic creates `_alembic_tmp_t`, copies the rows, drops `t` and renames the copy. `rebuilds` compares the number of
rows; here are the columns: a copy that was made by hand, or from a `copy_from` that isn't up to date, can lack some.
"""

from typing import Any

from app.migrations.data_loss.made_so_far import Run
from app.migrations.rules import text_of
from app.migrations.sql.effects import Effect, Kind, parts_of, qualified

PREFIX = "_alembic_tmp_"


def is_copy(effect: Effect) -> bool:
    """Whether an effect is one on a copy."""
    return bare(effect).startswith(PREFIX)


def bare(effect: Effect) -> str:
    """The name of the table, without its schema."""
    return (parts_of(effect.table) or [""])[-1]


def lost(effect: Effect, run: Run, driver: Any) -> list[Effect] | None:
    """What a table has that its copy lacks, or has in another type; None if no copied table is being dropped."""
    table = bare(effect)
    if effect.kind is not Kind.DROP_TABLE:
        return None
    copy = _columns(f"{PREFIX}{table}"[:50], driver)
    if not copy:
        return None
    key = run.key(qualified(table))
    renamed = {old: new for (of, new), old in run.old_columns.items() if of == key and new in copy}
    gone = []
    for column, kind in _columns(table, driver).items():
        now = column if column in copy else renamed.get(column, "")
        if now not in copy and (key, column) not in run.gone_columns:  # else by an operation, which was looked at
            gone.append(Effect(Kind.DROP_COLUMN, table, (column,)))
        elif now in copy and copy[now] != kind:
            gone.append(Effect(Kind.ALTER_TYPE, table, (column,), to=(copy[now],)))
    return gone


def _columns(table: str, driver: Any) -> dict[str, str]:
    found = driver.execute(f"SELECT name, type FROM pragma_table_info({text_of(table)})").fetchall()
    return {name.lower(): str(kind) for name, kind in found}
