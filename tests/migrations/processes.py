"""A project of a test's own, whose command `alembic` runs as processes, and what such processes leave behind."""

import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import sqlalchemy as sa

from app.migrations.run import lock
from tests.commands import PATIENCE, Done, Running
from tests.conftest import OURS, ROOT
from tests.engines import engine
from tests.migrations.histories import History, query, scripts

# The body of a revision that waits until a test lets it go on.
WAITS = """\
import pathlib, time
pathlib.Path("begun").touch()
while not pathlib.Path("go").exists():
    time.sleep(0.01)
"""
# The same where a preview must not wait: a revision that imports this way isn't rendered.
BEGINS = "__import__('pathlib').Path('begun').touch()"
WAITS_UNREHEARSED = f"{BEGINS}\n{WAITS}"


def copy_revisions(folder: Path) -> None:
    """Copies the project's revisions with their bytecode, but for what another process is writing at this moment."""
    unfinished = shutil.ignore_patterns("*.pyc.*")
    shutil.copytree(ROOT / "alembic" / "versions", folder, ignore=unfinished, dirs_exist_ok=True)


class Project(History):
    """The project in a folder of its own, where a test may change what it likes; the package `app` is the real one.

    Args:
        folder: an empty one.
        revisions: with the project's own revisions; else with none.
    """

    def __init__(self, folder: Path, *, revisions: bool = True) -> None:
        super().__init__(folder)
        self.folder = folder
        self.versions = folder / "versions"
        settings = (ROOT / "alembic.ini").read_text(encoding="utf-8")
        self.ini.write_text(settings.replace("%(here)s/alembic", "%(here)s"), encoding="utf-8")
        shutil.copy(ROOT / "alembic" / "env.py", folder)
        if revisions:
            copy_revisions(self.versions)
            self._last = scripts().get_current_head()

    def add(self, upgrade: str, downgrade: str = "pass", *, acknowledged: Mapping[str, str] | None = None) -> str:
        """Adds a revision whose functions have these bodies, and returns its id."""
        if acknowledged is None and "__import__" in upgrade:
            acknowledged = {"opaque __import__": "a test looks on"}
        return super().add(upgrade, downgrade, acknowledged=acknowledged)

    def hook(self, code: str) -> None:
        """Lets `env.py` run some code before it does its work."""
        env = self.folder / "env.py"
        before, call, after = env.read_text(encoding="utf-8").rpartition("run_env(context")
        env.write_text(f"{before}{code}\n\n{call}{after}", encoding="utf-8")

    def declare(self, revision: str, declaration: str) -> None:
        """Adds a line to the module of a revision."""
        path = self.file(revision)
        path.write_text(f"{path.read_text(encoding='utf-8')}\n{declaration}\n", encoding="utf-8")

    def file(self, revision: str) -> Path:
        """The file of a revision."""
        (path,) = self.versions.glob(f"{revision}*.py")
        return path

    def start(self, *args: str, url: str, env: Mapping[str, str] | None = None, as_nobody: bool = False) -> Running:
        """Starts `alembic` with these arguments.

        Args:
            args: the command line.
            url: the setting `DATABASE_URL`.
            env: variables.
            as_nobody: without the rights of root, if that is who runs the tests.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith((*OURS, "SCHEMA_"))}
        ours = {"DATABASE_URL": url, "GATEWAY_SCHEMA_ENV_FILE": "", "SCHEMA_CODE_VERSION": "tested"}
        return Running("alembic", args, inherited | ours | dict(env or {}), self.folder, as_nobody=as_nobody)

    def alembic(self, *args: str, url: str, env: Mapping[str, str] | None = None, as_nobody: bool = False) -> Done:
        """Runs `alembic` with these arguments."""
        return self.start(*args, url=url, env=env, as_nobody=as_nobody).wait()


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits for something that is sure to come, if nothing is broken."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "what was waited for hasn't come"
        time.sleep(0.02)


def holder(url: str) -> str | None:
    """Who holds the migration lock."""
    with engine(url).connect() as connection:
        found = lock.holder(connection)
    return found.name if found else None


def attempts(url: str) -> list[tuple[str, str, str]]:
    """Revision, direction and outcome of each row of the ledger, oldest first."""
    with engine(url).connect() as connection:
        if not sa.inspect(connection).has_table("schema_ledger"):
            return []
    rows = query(url, "SELECT revision, direction, outcome FROM schema_ledger ORDER BY id")
    return [(str(revision), str(direction), str(outcome)) for revision, direction, outcome in rows]


def applied(url: str) -> list[str]:
    """The revisions that upgrades have applied, in that order, each as often as it was."""
    return [
        revision for revision, direction, outcome in attempts(url) if (direction, outcome) == ("upgrade", "applied")
    ]


def plain(text: str, *places: Path | str) -> str:
    """A text without what differs from run to run: processes, hosts, users, ports, times and places."""
    for place in sorted(map(str, places), key=len, reverse=True):
        text = text.replace(place, "PLACE")
    text = re.sub(rf"(?<![\w-]){re.escape(socket.gethostname())}(?![\w-])", "HOST", text)  # it may be short
    text = re.sub(r"\b\w+ on HOST", "USER on HOST", text)
    text = re.sub(r"\bpid \d+", "pid N", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?(?= UTC)", "TIME", text)
    text = re.sub(r"(127\.0\.0\.1:|port |port=)\d+", r"\1PORT", text)
    text = re.sub(r"\btest_\d+", "DATABASE", text)
    text = re.sub(r"\(\d+\.\d\d s\)", "(N s)", text)
    return re.sub(r"for \d+ s:", "for N s:", text)
