"""A project whose tables are made by statements, at the one revision of its history."""

import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase

from app import database_url as urls
from app.migrations import Project, snapshots
from app.migrations.project import Limits
from app.partitions import Partitioned
from tests.postgres import Server
from tests.support.database_access import connected, engine, execute

REVISION = "20260101000000"
_INI = "[alembic]\nscript_location = %(here)s/alembic\npath_separator = os\n"
_FILE = f'"""Made by hand."""\n\nrevision = "{REVISION}"\ndown_revision = None\n\n\ndef upgrade() -> None:\n    pass\n'


class HandMade:
    """Such a project, on its database.

    Args:
        folder: an empty one.
        url: of an empty database.
        statements: make the tables.
        declared: the declarations by table.
        limits: of waiting.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        statements: Sequence[str],
        declared: Mapping[str, Partitioned],
        limits: Callable[[], Limits] = Limits,
    ) -> None:
        self.url, self._declared = url, declared
        (folder / "alembic" / "versions").mkdir(parents=True, exist_ok=True)
        (folder / "alembic.ini").write_text(_INI, encoding="utf-8")
        (folder / "alembic" / "versions" / f"{REVISION}.py").write_text(_FILE, encoding="utf-8")
        execute(url, *statements)
        execute(
            url,
            "CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(32) PRIMARY KEY)",
            "DELETE FROM alembic_version",
            f"INSERT INTO alembic_version VALUES ('{REVISION}')",
        )
        with connected(url) as connection:
            self.metadata = sa.MetaData()
            self.metadata.reflect(connection)
        for table, declaration in declared.items():
            self.metadata.tables[table].info["partitioned"] = declaration
        self.project = Project(folder, self._base, lambda: urls.parse(url), limits)
        self.expected = self.taken()
        snapshots.Snapshots(self.project.config()).save("postgresql", REVISION, self.expected)

    @property
    def engine(self) -> sa.Engine:
        return engine(self.url)

    def _base(self) -> type[DeclarativeBase]:
        return type("Base", (DeclarativeBase,), {"metadata": self.metadata})

    def taken(self) -> snapshots.Snapshot:
        """What the database has."""
        with connected(self.url) as connection:
            found: snapshots.Snapshot = json.loads(snapshots.as_json(snapshots.take(connection)))
        return found

    def in_plain_form(self) -> snapshots.Snapshot:
        """What the database has, as a comparison reads it."""
        return snapshots.in_plain_form(self.expected, self.taken(), self.project.partitions)


def dump(server: Server, url: str) -> str:
    """The schema of a database as `pg_dump` writes it, without the ledger."""
    made = make_url(url)
    program = server._bin / "pg_dump"
    command = [str(program), "--schema-only", "--exclude-table=schema_ledger*", "--host=127.0.0.1"]
    command += [f"--port={made.port}", "--username=postgres", str(made.database)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE)
