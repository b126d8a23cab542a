"""Copies the project's history into a folder of the test's own, where `alembic` runs on it."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.support.alembic_in_process import History, command_line, scripts
from tests.support.command_processes import Done, Running
from tests.support.environment import OURS, ROOT

DIES = "__import__('os').kill(__import__('os').getpid(), 9)"
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


class ProjectCopy(History):
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
        return Running("alembic", args, self._variables(url, env), self.folder, as_nobody=as_nobody)

    def process(self, *args: str, url: str, env: Mapping[str, str] | None = None, as_nobody: bool = False) -> Done:
        """Runs `alembic` with these arguments in a process of its own."""
        return self.start(*args, url=url, env=env, as_nobody=as_nobody).wait()

    def alembic(self, *args: str, url: str, env: Mapping[str, str] | None = None) -> Done:
        """Runs `alembic` with these arguments in this process."""
        return command_line(*args, env=self._variables(url, env), folder=self.folder)

    def _variables(self, url: str, env: Mapping[str, str] | None) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith((*OURS, "SCHEMA_"))}
        ours = {"DATABASE_URL": url, "GATEWAY_SCHEMA_ENV_FILE": "", "SCHEMA_CODE_VERSION": "tested"}
        return inherited | ours | dict(env or {})
