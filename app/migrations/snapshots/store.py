"""What the schema looks like at every revision, on either database.

A snapshot is what the catalog says, without what depends on the server, the order of things or the search path: one
line for each table, column, constraint, index, trigger, function, view, sequence and enumeration, by name. One file is
committed for each database and revision, `postgresql/20241211000000.json`; the tests hold them fresh. They are what
`schema check` and `schema resolve` compare a database with, so that nothing needs a second server.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.config import Config

from app.migrations.errors import HistoryError
from app.migrations.snapshots import read_postgresql, read_sqlite

Facts = Mapping[str, Any]
Snapshot = dict[str, Facts]

# What belongs to a table stands with it, in this order; then what belongs to none.
_WITH_TABLE = ("table", "column", "constraint", "index", "trigger")


class Snapshots:
    """The committed snapshots of a history.

    Args:
        config: Alembic's; its option `snapshots` in `[schema]` names the folder, if it isn't the one beside this file.
    """

    def __init__(self, config: Config) -> None:
        folder = config.file_config.get("schema", "snapshots", fallback=None)
        self._folder = Path(folder or f"{config.get_main_option('script_location')}/snapshots")

    def of(self, dialect: str, revision: str | None) -> Snapshot:
        """The snapshot of a revision; an empty one before the first.

        Raises:
            HistoryError: there is none.
        """
        if revision is None:
            return {}
        path = self.path(dialect, revision)
        if not path.is_file():
            raise HistoryError(
                f"The revision {revision} has no snapshot for {dialect}. Make it on a {dialect} database, and commit "
                "it: schema snapshot"
            )
        snapshot: Snapshot = json.loads(path.read_text(encoding="utf-8"))
        return snapshot

    def save(self, dialect: str, revision: str, snapshot: Snapshot) -> Path:
        """Writes the snapshot of a revision, in a form that reads well in a diff.

        Returns:
            The file.
        """
        path = self.path(dialect, revision)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(snapshot), encoding="utf-8")
        return path

    def path(self, dialect: str, revision: str) -> Path:
        """The file of a revision's snapshot."""
        return self._folder / dialect / f"{revision}.json"

    def saved(self, dialect: str) -> set[str]:
        """The revisions that have a snapshot."""
        return {path.stem for path in (self._folder / dialect).glob("*.json")}


def take(connection: sa.Connection) -> Snapshot:
    """What the database looks like now. Reads only."""
    reader = read_postgresql if connection.dialect.name == "postgresql" else read_sqlite
    return in_order(reader.read(connection))


def in_order(snapshot: Snapshot) -> Snapshot:
    """Table by table, columns as the table has them, the rest by name."""
    names = [name for name in snapshot if kind_of(name) == "column"]
    places = {name: place for place, name in enumerate(names)}

    def key(name: str) -> tuple[bool, str, int, int, str]:
        kind = kind_of(name)
        with_table = kind in _WITH_TABLE
        rank = _WITH_TABLE.index(kind) if with_table else 0
        return not with_table, owner_of(name) if with_table else kind, rank, places.get(name, 0), name

    return {name: snapshot[name] for name in sorted(snapshot, key=key)}


def text_of(snapshot: Snapshot) -> str:
    """A snapshot as the text of its file."""
    if not snapshot:
        return "{}\n"
    lines = [
        f"{json.dumps(name)}: {json.dumps(facts, sort_keys=True, ensure_ascii=False)}"
        for name, facts in snapshot.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def kind_of(name: str) -> str:
    """What an object is: `column` of `column users.nick`."""
    return name.partition(" ")[0]


def owner_of(name: str) -> str:
    """The table that an object belongs to, or its own name: `users` of `column users.nick` and of `table users`."""
    return name.partition(" ")[2].partition(".")[0]


def own_name(name: str) -> str:
    """An object's name without its table's: `nick` of `column users.nick`."""
    whole = name.partition(" ")[2]
    return whole.partition(".")[2] or whole
