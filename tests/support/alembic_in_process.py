"""Runs Alembic's commands in this process, on the project's history or on a small one of a test's own."""

import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.migrations.session import Session
from tests.support.database_access import connected, engine, execute
from tests.support.environment import ROOT

FILES = sorted((ROOT / "alembic" / "versions").glob("*.py"))
REVISIONS = [path.name[:14] for path in FILES]
HEAD = REVISIONS[-1]
INI = ROOT / "alembic.ini"
_INI = """\
[alembic]
script_location = %(here)s
path_separator = os
file_template = %%(rev)s
"""
_ENV = """\
from pathlib import Path

from alembic import context
from sqlalchemy.orm import DeclarativeBase

from app.migrations import Project, run_env
from app.project import PROJECT


class Base(DeclarativeBase):
    __abstract__ = True


run_env(context, Project(Path(__file__).parent, lambda: Base, PROJECT.database_url, PROJECT.limits))
"""
_REVISION = '''\
"""{slug}."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {parent!r}
{consent}

def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    {downgrade}
'''


class Memory(io.StringIO):
    """What a command printed, without an encoding: Alembic asks for one."""

    encoding = "utf-8"


def config(url: str, ini: Path = INI, output: io.StringIO | None = None) -> Config:
    """A configuration for a command on the database `url`, handed over as an engine."""
    made = Config(ini, stdout=Memory(), output_buffer=output)
    made.attributes["connection"] = engine(url)
    return made


def upgrade(url: str, revision: str = "head", ini: Path = INI) -> None:
    command.upgrade(config(url, ini), revision)


def downgrade(url: str, revision: str = "base", ini: Path = INI, *, accept: Iterable[str] = ()) -> None:
    """Runs `alembic downgrade REVISION`, with `-x accept-data-loss=` for the revisions in `accept`."""
    made = config(url, ini)
    Session.of(made).accepted_losses = list(accept)
    command.downgrade(made, revision)


def upgrade_script(url: str, revisions: str = "head", ini: Path = INI) -> str:
    """What `alembic upgrade REVISIONS --sql` prints; the database isn't asked."""
    return _script(command.upgrade, url, revisions, ini)


def downgrade_script(url: str, revisions: str, ini: Path = INI) -> str:
    """What `alembic downgrade REVISIONS --sql` prints; the database isn't asked."""
    return _script(command.downgrade, url, revisions, ini)


def _script(run: Callable[..., None], url: str, revisions: str, ini: Path) -> str:
    output = io.StringIO()
    run(config(url, ini, output), revisions, sql=True)
    return output.getvalue()


def revision_of(url: str) -> str | None:
    """The revision that a database is at, None before the first."""
    with connected(url) as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        return revision


def forget(url: str) -> None:
    """Drops the books that Alembic and we keep in a database."""
    execute(url, "DROP TABLE IF EXISTS alembic_version", "DROP TABLE IF EXISTS schema_ledger")


class History:
    """A history of a test's own: an empty one in `folder`, run by the project's `runtime`."""

    def __init__(self, folder: Path) -> None:
        self.ini = folder / "alembic.ini"
        self.ini.write_text(_INI, encoding="utf-8")
        (folder / "env.py").write_text(_ENV, encoding="utf-8")
        self._versions = folder / "versions"
        self._versions.mkdir()
        self._last: str | None = None

    def add(self, upgrade: str, downgrade: str = "pass", *, acknowledged: Mapping[str, str] | None = None) -> str:
        """Adds a revision whose functions have these bodies, and returns its id."""
        revision = f"2026010100{len(list(self._versions.glob('*.py'))):04}"
        text = _REVISION.format(
            slug=revision,
            revision=revision,
            parent=self._last,
            consent=f"acknowledged = {acknowledged!r}\n" if acknowledged is not None else "",
            upgrade=_body(upgrade),
            downgrade=_body(downgrade),
        )
        (self._versions / f"{revision}.py").write_text(text, encoding="utf-8")
        self._last = revision
        return revision

    def upgrade(self, url: str, revision: str = "head") -> None:
        upgrade(url, revision, self.ini)

    def downgrade(self, url: str, revision: str = "base", *, accept: Iterable[str] = ()) -> None:
        downgrade(url, revision, self.ini, accept=accept)

    def upgrade_script(self, url: str, revisions: str = "head") -> str:
        return upgrade_script(url, revisions, self.ini)


def _body(text: str) -> str:
    return "\n    ".join(text.strip().splitlines())


def scripts() -> ScriptDirectory:
    """The project's revisions."""
    return ScriptDirectory.from_config(Config(INI))
