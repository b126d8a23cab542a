"""Unmanaged objects: another tool's tables and columns, declared in `alembic.ini`.

    [schema]
    unmanaged = _prisma_migrations, audit_*, users.legacy_*

A word names a table (or a view, a sequence, a function, an enumeration); a word with a dot names a column, an index, a
constraint or a trigger of a table. `*` and `?` stand for any characters. Unmanaged objects are never proposed to be
dropped, and are no drift. `schema adopt --unmanaged` declares them for one database, in its ledger.
"""

import re
from fnmatch import fnmatchcase
from typing import Any

from alembic.config import Config

from app.migrations.session import Session
from app.migrations.snapshots import Facts, Snapshot, address_of, kind_of, own_name, owner_of


class Unmanaged:
    """The patterns of one configuration."""

    def __init__(self, config: Config) -> None:
        self._session = Session.of(config)
        self._words = re.split(r"[\s,]+", config.file_config.get("schema", "unmanaged", fallback=""))

    def without(self, snapshot: Snapshot) -> Snapshot:
        """Returns a snapshot without unmanaged objects, and without indexes and constraints on unmanaged columns."""
        columns = [name for name in snapshot if kind_of(name) == "column" and self._is_unmanaged(name, {})]
        return {
            name: facts
            for name, facts in snapshot.items()
            if not self._is_unmanaged(name, facts) and not _is_built_on(name, facts, columns)
        }

    def is_unmanaged_table(self, name: str) -> bool:
        """Returns whether a table is another tool's."""
        return self._matches(name)

    def include_object(self, item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
        """Returns whether autogenerate compares an object; Alembic's option of that name."""
        if not reflected or compare_to is not None or name is None:  # an object of the models is always compared
            return True
        if kind == "table":
            return not self._matches(name)
        table = getattr(item.table, "name", item.table)
        names = [name, *(column.name for column in getattr(item, "columns", ()))]
        return not any(self._matches(table, part) for part in names)

    def _is_unmanaged(self, name: str, facts: Facts) -> bool:
        if kind_of(name) == "function":
            return self._matches(address_of(name).partition("(")[0])
        table, _, part = facts.get("owner", address_of(name)).partition(".")
        return self._matches(table, part)

    def _matches(self, table: str, part: str = "") -> bool:
        address = f"{table}.{part}" if part else ""
        return any(
            fnmatchcase(address if "." in word else table, word) for word in (*self._words, *self._session.unmanaged)
        )


def _is_built_on(name: str, facts: Facts, columns: list[str]) -> bool:
    if kind_of(name) not in ("index", "constraint"):
        return False
    _, _, body = facts.get("definition", "").partition("(")
    own = [own_name(column) for column in columns if owner_of(column) == owner_of(name)]
    return any(re.search(rf"\b{re.escape(column)}\b", body) for column in own)
