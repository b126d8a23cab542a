"""The commands `alembic` and `schema` as processes, many and soon: each is a fork of one that has imported everything.

Nothing else about them is special: they have variables, a working directory and an output of their own, and can be
killed at any moment.
"""

import multiprocessing
import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

ROOT = Path(__file__).parents[1]
PATIENCE = 120.0
IMPORTED = [
    "alembic.config",
    "app.cli",
    "app.encrypted",
    "app.migrations.autogenerate",
    "app.migrations.blockers",
    "app.migrations.gate",
    "app.migrations.rebuilds",
    "app.migrations.runtime",
    "app.migrations.unseen",
    "app.migrations.workers",
    "app.models",
    "app.secrets",
    "cryptography.hazmat.primitives.ciphers.aead",
    "postgast",
    "psycopg",
    "rich.console",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "tests.commands",  # each would look for it, and for what it is in
]

Command = Literal["alembic", "schema"]

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(IMPORTED)


@dataclass(frozen=True)
class Done:
    """How a command ended; a negative code is the number of the signal that killed it."""

    returncode: int
    stdout: str
    stderr: str


class Running:
    """A command that was started.

    Args:
        command: which.
        args: the rest of the command line.
        env: all its variables.
        folder: its working directory.
        as_nobody: without the rights of root, if that is who runs the tests.
    """

    def __init__(
        self, command: Command, args: tuple[str, ...], env: Mapping[str, str], folder: Path, *, as_nobody: bool = False
    ) -> None:
        self._output = Path(tempfile.mkdtemp(prefix="output-"))
        self._done: Done | None = None
        place = {"folder": str(folder), "output": str(self._output), "as_nobody": as_nobody}
        # What can't outlive us can't have processes of its own, and `schema secrets` has.
        self._process = _processes.Process(
            target=_run, args=(command, args, dict(env)), kwargs=place, daemon=command == "alembic"
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()

    @property
    def ended(self) -> bool:
        return self._process.exitcode is not None

    @property
    def stderr(self) -> str:
        """What it has said until now."""
        return self._done.stderr if self._done else self._said("stderr")

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self) -> Done:
        """Waits for its end."""
        if self._done is None:
            self._process.join(PATIENCE)
            code = self._process.exitcode
            if code is None:
                self._process.kill()
                raise AssertionError(f"still running after {PATIENCE} s: {self.stderr}")
            self._done = Done(code, self._said("stdout"), self._said("stderr"))
            shutil.rmtree(self._output)
        return self._done

    def _said(self, stream: str) -> str:
        file = self._output / stream
        return file.read_text(encoding="utf-8") if file.exists() else ""


def _run(
    command: Command, args: tuple[str, ...], env: dict[str, str], *, folder: str, output: str, as_nobody: bool
) -> None:
    for stream in (sys.stdout, sys.stderr):
        name = os.path.join(output, stream.name.strip("<>"))  # noqa: PTH118 - as str, for the next line
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), stream.fileno())
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.dont_write_bytecode = True
    if as_nobody and os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    if command == "alembic":
        from alembic.config import main as alembic

        alembic(args, prog="alembic")
    else:
        from app.cli import main as schema

        sys.argv = ["schema", *args]
        schema()
