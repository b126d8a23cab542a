"""Tables and columns that this package knows nothing of: somebody else's, declared in `alembic.ini`.

    [schema]
    unmanaged = _prisma_migrations, audit_*, users.legacy_*

A word names a table (or a view, a sequence, a function, an enumeration); one with a dot a column, an index, a
constraint or a trigger of a table. `*` and `?` stand for any characters. What is named so is never proposed to be
dropped, and is no drift.
"""

import re
from fnmatch import fnmatchcase
from typing import Any

from alembic.config import Config

from app.migrations.snapshots import Facts, Snapshot, kind_of, owner_of


class Unmanaged:
    """The patterns of one configuration.

    Args:
        config: Alembic's.
    """

    def __init__(self, config: Config) -> None:
        words = re.split(r"[\s,]+", config.file_config.get("schema", "unmanaged", fallback=""))
        self._tables = [word for word in words if word and "." not in word]
        self._columns = [word for word in words if "." in word]

    def table(self, name: str) -> bool:
        """Whether a table is somebody else's."""
        return any(fnmatchcase(name, pattern) for pattern in self._tables)

    def part(self, table: str, name: str) -> bool:
        """Whether a column of a table is, or something else that belongs to it."""
        return self.table(table) or any(fnmatchcase(f"{table}.{name}", pattern) for pattern in self._columns)

    def without(self, snapshot: Snapshot) -> Snapshot:
        """A snapshot without what is unmanaged, and without what is built on that."""
        if not (self._tables or self._columns):
            return snapshot
        columns = [
            name.partition(" ")[2] for name in snapshot if kind_of(name) == "column" and self._is_unmanaged(name, {})
        ]
        return {
            name: facts
            for name, facts in snapshot.items()
            if not self._is_unmanaged(name, facts) and not _built_on(name, facts, columns)
        }

    def include_object(self, item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
        """Says whether autogenerate shall look at an object, as Alembic's option of that name asks."""
        if not reflected or compare_to is not None or name is None:
            return True
        if kind == "table":
            return not self.table(name)
        table = getattr(item.table, "name", item.table)
        names = [name, *(column.name for column in getattr(item, "columns", ()))]
        return not any(self.part(table, part) for part in names)

    def _is_unmanaged(self, name: str, facts: Facts) -> bool:
        table, _, part = facts.get("owner", name.partition(" ")[2]).partition(".")
        if kind_of(name) == "function":
            return self.table(table.partition("(")[0])
        return self.part(table, part) if part else self.table(table)


def _built_on(name: str, facts: Facts, columns: list[str]) -> bool:
    if kind_of(name) not in ("index", "constraint") or not columns:
        return False
    own = [column.partition(".")[2] for column in columns if column.partition(".")[0] == owner_of(name)]
    _, _, body = facts.get("definition", "").partition("(")
    return any(re.search(rf"\b{re.escape(column)}\b", body) for column in own)
