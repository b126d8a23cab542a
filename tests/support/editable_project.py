"""Copies the project's history, snapshots and models, so that a test may edit them."""

import re
import shutil
import sqlite3
from pathlib import Path

from app.migrations import snapshots
from tests.support.alembic_in_process import upgrade
from tests.support.database_access import engine, execute
from tests.support.environment import ROOT, format_as_here

_ENV = """\
import dataclasses
import pathlib

import sqlalchemy as sa
from alembic import context

from app.migrations import Project, run_env
from app.project import PROJECT


class Edited(Project):
    def metadata(self):
        models = self.base().metadata
        metadata = sa.MetaData(naming_convention=models.naming_convention)
        for table in models.sorted_tables:
            table.to_metadata(metadata)
        metadata.info["triggers"] = dict(models.info["triggers"])
        edit = pathlib.Path(__file__).with_name("edit.py").read_text(encoding="utf-8")
        exec(edit, {"metadata": metadata, "tables": metadata.tables, "sa": sa})
        return metadata


run_env(context, Edited(**{field.name: getattr(PROJECT, field.name) for field in dataclasses.fields(PROJECT)}))
"""
_REVISION = '''\
"""A revision of a test."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{parent}"
{extra}

def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    {downgrade}
'''


class EditableProject:
    """The project's history in a folder, with models that can be edited; the package `app` is the real one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ini = folder / "alembic.ini"
        self.versions = folder / "alembic" / "versions"
        self.snapshots = folder / "alembic" / "snapshots"
        shutil.copytree(ROOT / "alembic", folder / "alembic", ignore=shutil.ignore_patterns("*.pyc.*"))
        shutil.copy(ROOT / "alembic.ini", folder)
        format_as_here(folder)
        (folder / "alembic" / "env.py").write_text(_ENV, encoding="utf-8")
        self.edit_models("")

    def edit_models(self, code: str) -> None:
        """Lets `code` change the models' metadata, which it knows as `metadata` and `tables`."""
        (self.folder / "alembic" / "edit.py").write_text(code, encoding="utf-8")

    def add(self, upgrade: str, downgrade: str = "pass", extra: str = "") -> str:
        """Adds a revision whose functions have these bodies, after the last one, and returns its id."""
        last = max(path.name[:14] for path in self.versions.glob("*.py"))
        revision = str(int(last) + 1)
        text = _REVISION.format(
            revision=revision, parent=last, upgrade=_body(upgrade), downgrade=_body(downgrade), extra=extra
        )
        (self.versions / f"{revision}_test.py").write_text(text, encoding="utf-8")
        return revision

    def snap(self, url: str, *revisions: str) -> None:
        """Runs revisions on a database, and keeps what each makes as its snapshot."""
        for revision in revisions:
            upgrade(url, revision, self.ini)
            with engine(url).connect() as connection:
                dialect, taken = connection.dialect.name, snapshots.take(connection)
            (self.snapshots / dialect / f"{revision}.json").write_text(snapshots.as_json(taken), encoding="utf-8")

    def file(self, revision: str) -> Path:
        """The file of a revision."""
        (path,) = self.versions.glob(f"{revision}*.py")
        return path

    def configure(self, **options: str) -> None:
        """Sets options of `[schema]`."""
        text = self.ini.read_text(encoding="utf-8")
        for name, value in options.items():
            text = text.replace(f"{name} =\n", f"{name} = {value}\n")
        self.ini.write_text(text, encoding="utf-8")


def by_hand(url: str, *statements: str) -> None:
    """Changes a database behind our back; on SQLite `table | old | new` is a copy with another CREATE TABLE."""
    for statement in statements:
        if "|" in statement and url.startswith("sqlite"):
            _copy(url, *(part.strip() for part in statement.split("|")))
        else:
            execute(url, statement)


def _copy(url: str, table: str, old: str, new: str) -> None:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("PRAGMA legacy_alter_table = ON")
    question = "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type <> 'table' AND sql IS NOT NULL"
    others = connection.execute(question, (table,)).fetchall()
    (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    before = _plain(f"CREATE TABLE copied ({sql.partition('(')[2]}")
    after = re.sub(r", *(?=[,)])", "", before.replace(_plain(old), _plain(new), 1))
    assert after != before, before
    connection.execute("BEGIN")
    connection.execute(after)
    columns = ", ".join(row[1] for row in connection.execute("PRAGMA table_info(copied)"))
    connection.execute(f"INSERT INTO copied ({columns}) SELECT {columns} FROM {table}")
    connection.execute(f"DROP TABLE {table}")
    connection.execute(f"ALTER TABLE copied RENAME TO {table}")
    for (other,) in others:
        connection.execute(other)
    connection.execute("COMMIT")
    connection.close()


def _plain(sql: str) -> str:
    """Whoever wrote it: one blank between words, none around brackets, and no brackets around a default."""
    text = re.sub(r" ?\( ?", "(", " ".join(sql.split()))
    return re.sub(r"DEFAULT ?\(([^()]*)\)", r"DEFAULT \1", text)


def _body(text: str) -> str:
    return "\n    ".join(text.strip().splitlines())
