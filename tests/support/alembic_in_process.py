"""Runs Alembic's commands in this process, on the project's history or on a small one of a test's own."""

import contextlib
import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Protocol

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import CommandLine, Config
from alembic.script import ScriptDirectory

from app.migrations.session import Session
from tests.support.command_processes import Done
from tests.support.database_access import connected, engine, execute
from tests.support.environment import ROOT, forget_settings, format_as_here, variables

FILES = sorted((ROOT / "alembic" / "versions").glob("*.py"))
REVISIONS = [path.name[:14] for path in FILES]
HEAD = REVISIONS[-1]
INI = ROOT / "alembic.ini"
# Modules that a command imports when it needs them, and that stay as they are.
SHARED = ("alembic", "app", "asyncio", "cryptography", "encodings", "postgast", "psycopg", "rich", "sqlalchemy")
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


def command_line(*args: str, env: Mapping[str, str], folder: Path) -> Done:
    """Runs `alembic` with these arguments as its command line does, in this process and a folder.

    It has variables, output and exit code as a process has, for a fraction of the time. What must be killed, waited
    for, or changes the process itself (`ProjectCopy.hook`) needs a real one.
    """
    output, errors = Memory(), Memory()
    with own_process(env), contextlib.chdir(folder), redirect_stdout(output), redirect_stderr(errors):
        line = CommandLine(prog="alembic")
        code: object = 0
        try:
            options = line.parser.parse_args(args)
            ini = options.config[-1] if options.config else folder / "alembic.ini"
            line.run_cmd(Config(ini, stdout=output, cmd_opts=options), options)
        except SystemExit as ending:
            code = ending.code
        except Exception:  # noqa: BLE001 - as Python does at the end of a process
            errors.write(traceback.format_exc())
            code = 1
    return Done(code if isinstance(code, int) else int(code is not None), output.getvalue(), errors.getvalue())


@contextmanager
def own_process(env: Mapping[str, str]) -> Iterator[None]:
    """Undoes what a command does to its process: variables, settings, modules, logging and warnings."""
    loggers = [logging.getLogger(name) for name in (None, "alembic", "app.migrations", "sqlalchemy.engine")]
    before = [(logger, [*logger.handlers], logger.level, logger.propagate) for logger in loggers]
    modules = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        patch.setattr(sys, "path", [*sys.path])
        for name in set(os.environ) - set(env):
            patch.delenv(name)
        for name, value in env.items():
            patch.setenv(name, value)
        forget_settings()
        try:
            yield
        finally:
            for logger, handlers, level, propagate in before:
                logger.handlers[:] = handlers
                logger.setLevel(level)
                logger.propagate = propagate
            for name in set(sys.modules) - modules:
                if not name.startswith(SHARED):
                    del sys.modules[name]
    forget_settings()


class Alembic(Protocol):
    """The type of the fixture `alembic`."""

    def __call__(self, *args: str, url: str, env: Mapping[str, str] | None = None) -> Done:
        """Runs the command `alembic` in the project's root."""


def run_alembic(*args: str, url: str, env: Mapping[str, str] | None = None) -> Done:
    """Runs the command `alembic` in the project's root, in an environment without variables of ours."""
    return command_line(*args, env=variables(url) | dict(env or {}), folder=ROOT)


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
        format_as_here(folder)
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
