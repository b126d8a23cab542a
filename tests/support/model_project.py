"""A project in a folder of its own, whose models are features of `model_features`."""

import json
import os
import re
import shutil
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

from app import database_url as urls
from app.cli import texts
from app.errors import SchemaError
from app.migrations import Project, commands, snapshots
from app.models.base import NAMING_CONVENTION
from tests.support.alembic_in_process import Memory, command_line, own_process
from tests.support.command_processes import Done
from tests.support.database_access import connected, engine
from tests.support.environment import ROOT, format_as_here, variables
from tests.support.model_features import AS_IT_IS, FEATURES

Part = tuple[str, str]
"""A feature and one of its changes."""
Parts = Sequence[Part | list[Part]]
"""Features with tables of their own, and tables composed of several features' columns."""
Fresh = Callable[[], AbstractContextManager[str]]

_INI = """\
[alembic]
script_location = %(here)s/alembic
path_separator = os
file_template = %%(rev)s_%%(slug)s
revision_environment = true

[post_write_hooks]
hooks = tidy, snapshot, lint
tidy.type = tidy
snapshot.type = snapshot
snapshot.root = %(here)s
lint.type = lint
lint.root = %(here)s
"""
_ENV = """\
import os
from pathlib import Path

from alembic import context

from app.migrations import run_env
from tests.support.database_access import engine
from tests.support.model_project import project_in

context.config.attributes.setdefault("connection", engine(os.environ["DATABASE_URL"]))
run_env(context, project_in(Path(__file__).parents[1]))
"""
_FIRST = '''\
"""What the models need of the server."""

import sqlalchemy as sa
from alembic import op

revision = "20200101000000"
down_revision = None


def upgrade() -> None:
{statements}


def downgrade() -> None:
    pass
'''
_ID = re.compile(r"\b20\d{12}\b")


def project_in(folder: Path) -> Project:
    """Returns the project of a folder; the models are read when a command asks for them."""

    def base() -> type[DeclarativeBase]:
        read = json.loads((folder / "models.json").read_text(encoding="utf-8"))
        parts = [part if isinstance(part[0], list) else tuple(part) for part in read]
        return type("Base", (DeclarativeBase,), {"metadata": metadata_of(parts)})

    def database_url() -> sa.URL:
        return urls.parse(os.environ["DATABASE_URL"])

    return Project(folder, base, database_url)


def metadata_of(parts: Parts) -> sa.MetaData:
    """Builds models: each feature with its change, or several features' columns in one table."""
    metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)
    for number, part in enumerate(parts):
        if isinstance(part, tuple):
            name, change = part
            FEATURES[name].build(metadata, change)
            continue
        columns = [FEATURES[name].columns[change](name) for name, change in part]
        sa.Table(f"composed_{number}", metadata, sa.Column("id", sa.Integer, primary_key=True), *columns)
    return metadata


class ModelProject:
    """A project with an empty history.

    Args:
        folder: an empty one.
        url: the URL of an empty database.
        fresh: gives the URLs of more empty databases of the kind.
        needs: extensions and schemas that a first revision makes.
    """

    def __init__(self, folder: Path, url: str, fresh: Fresh, needs: Sequence[str] = ()) -> None:
        self.folder = folder
        self.url = url
        self.fresh = fresh
        self.needs = needs
        self.versions = folder / "alembic" / "versions"
        self.versions.mkdir(parents=True)
        (folder / "alembic.ini").write_text(_INI, encoding="utf-8")
        format_as_here(folder)
        (folder / "alembic" / "env.py").write_text(_ENV, encoding="utf-8")
        shutil.copy(ROOT / "alembic" / "script.py.mako", folder / "alembic")
        self.use([])
        if needs:
            statements = "\n".join(
                f'    op.execute("CREATE {need.replace(" ", " IF NOT EXISTS ", 1)}")' for need in needs
            )
            (self.versions / "20200101000000_first.py").write_text(
                _FIRST.format(statements=statements), encoding="utf-8"
            )
            self.alembic("upgrade", "head")
            with own_process(variables(url)):
                commands.snapshot(project_in(folder), engine(url))

    def copy(self, folder: Path, url: str) -> "ModelProject":
        """Returns the same project in another folder, on another database."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
        made = ModelProject.__new__(ModelProject)
        made.folder, made.url, made.versions = folder, url, folder / "alembic" / "versions"
        made.fresh, made.needs = self.fresh, self.needs
        return made

    def use(self, parts: Parts) -> None:
        """Replaces the models."""
        (self.folder / "models.json").write_text(json.dumps(parts), encoding="utf-8")

    def use_feature(self, name: str, change: str = AS_IT_IS) -> None:
        self.use([(name, change)])

    def alembic(self, *args: str) -> Done:
        """Runs `alembic` in the project's folder, in this process."""
        return command_line(*args, env=variables(self.url), folder=self.folder)

    def check(self) -> Done:
        """Answers as `schema check` does, without the time that its command line takes."""
        output, errors, code = Memory(), Memory(), 1
        with own_process(variables(self.url)), redirect_stdout(output), redirect_stderr(errors):
            try:
                answer = texts.check(commands.check(project_in(self.folder), engine(self.url)))
                code = answer.exit_code
                output.write(answer.text)
            except SchemaError as error:
                code = error.exit_code
                errors.write(f"FAILED: {error}")
            except Exception:  # noqa: BLE001 - as Python does at the end of a process
                errors.write(traceback.format_exc())
        return Done(code, output.getvalue(), errors.getvalue())

    def schema(self) -> snapshots.Snapshot:
        """Reads the database; two schemas of the same facts are the same to every comparison."""
        with connected(self.url) as connection:
            return snapshots.take(connection)

    def revisions(self) -> list[Path]:
        return sorted(self.versions.glob("*.py"))

    def head(self) -> str:
        """Returns the id of the last revision, `base` if there is none."""
        files = self.revisions()
        return files[-1].name[:14] if files else "base"

    def remove(self, files: Sequence[Path]) -> None:
        """Removes revisions, and their snapshots."""
        for file in files:
            file.unlink()
            for snapshot in (self.folder / "alembic" / "snapshots").glob(f"*/{file.name[:14]}.json"):
                snapshot.unlink()

    @contextmanager
    def without(self, files: Sequence[Path]) -> Iterator[None]:
        """Takes revisions out of the history for a while."""
        for file in files:
            file.rename(file.with_suffix(".aside"))
        try:
            yield
        finally:
            for file in files:
                file.with_suffix(".aside").rename(file)


def text_of(files: Sequence[Path]) -> str:
    """Returns the text of revisions, with ids that don't depend on the time."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    numbers = {found: f"<{number}>" for number, found in enumerate(sorted(set(_ID.findall(text))))}
    return _ID.sub(lambda match: numbers[match[0]], text)
