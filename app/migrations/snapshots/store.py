"""Snapshots: the schema at a revision, as facts of a catalog.

A snapshot names each table, column, constraint, index, trigger, function, view, sequence and enumeration, with its
facts. It leaves out whatever depends on the server, the order of creation or the search path. One file is committed for
each database and revision, such as `postgresql/20241211000000.json`.
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

PARTS = ("column", "constraint", "index", "trigger")  # of a table

NOT_READ = {"postgresql": read_postgresql.NOT_READ, "sqlite": read_sqlite.NOT_READ}


class Snapshots:
    """The committed snapshots of a history.

    Args:
        config: Alembic's; its option `snapshots` in `[schema]` names the folder; by default it is beside the revisions.
    """

    def __init__(self, config: Config) -> None:
        folder = config.file_config.get("schema", "snapshots", fallback=None)
        self._folder = Path(folder or f"{config.get_main_option('script_location')}/snapshots")

    def of(self, dialect: str, revision: str | None) -> Snapshot:
        """Returns the snapshot of a revision; an empty one before the first.

        Raises:
            HistoryError: there is none.
        """
        if revision is None:
            return {}
        path = self.path(dialect, revision)
        if not path.is_file():
            raise HistoryError(
                f"The revision {revision} has no snapshot for {dialect}. Make it, and commit it: schema snapshot"
            )
        snapshot: Snapshot = json.loads(path.read_text(encoding="utf-8-sig"))
        return snapshot

    def save(self, dialect: str, revision: str, snapshot: Snapshot) -> Path:
        """Writes the snapshot of a revision; returns its file."""
        path = self.path(dialect, revision)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(as_json(snapshot), encoding="utf-8")
        return path

    def path(self, dialect: str, revision: str) -> Path:
        """Returns the file of a revision's snapshot."""
        return self._folder / dialect / f"{revision}.json"

    def saved(self, dialect: str) -> set[str]:
        """Returns the revisions that have a snapshot."""
        return {path.stem for path in (self._folder / dialect).glob("*.json")}


def take(connection: sa.Connection) -> Snapshot:
    """Reads the schema of a database; writes nothing."""
    reader = read_postgresql if connection.dialect.name == "postgresql" else read_sqlite
    return in_order(reader.read(connection))


def in_order(snapshot: Snapshot) -> Snapshot:
    """Sorts a snapshot: table by table, columns as the table has them, the other objects by name."""
    ranks = {kind: rank for rank, kind in enumerate(("table", *PARTS))}
    columns = {name: place for place, name in enumerate(snapshot) if kind_of(name) == "column"}

    def key(name: str) -> tuple[bool, str, int, int, str]:
        kind = kind_of(name)
        in_table = kind in ranks
        return not in_table, owner_of(name) if in_table else kind, ranks.get(kind, 0), columns.get(name, 0), name

    return {name: snapshot[name] for name in sorted(snapshot, key=key)}


def as_json(snapshot: Snapshot) -> str:
    """Returns the text of a snapshot's file: one line for each object, which reads well in a diff."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(facts, sort_keys=True, ensure_ascii=False)}"
        for name, facts in snapshot.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n" if lines else "{}\n"


def of_kind(snapshot: Snapshot, kind: str, table: str | None = None) -> list[str]:
    """Returns the objects of a kind, in order; those of one table if it is given."""
    if table is None:
        return [name for name in snapshot if kind_of(name) == kind]
    start = f"{kind} {table}"  # an owner_of() for each name takes ten times as long
    return [name for name in snapshot if name.startswith(start) and name[len(start) : len(start) + 1] in ("", ".")]


def kind_of(name: str) -> str:
    """Returns the kind of an object: `column` for `column users.nick`."""
    return name.partition(" ")[0]


def address_of(name: str) -> str:
    """Returns the name of an object without its kind: `users.nick` for `column users.nick`."""
    return name.partition(" ")[2]


def owner_of(name: str) -> str:
    """Returns the table of an object, or its own name: `users` for `column users.nick` and for `table users`."""
    return address_of(name).partition(".")[0]


def own_name(name: str) -> str:
    """Returns the name of an object without its table: `nick` for `column users.nick`."""
    return address_of(name).partition(".")[2] or address_of(name)
