"""Runs the commands `alembic` and `schema` as processes: each is a fork of one that has imported everything.

Nothing else about them is special: they have variables, a working directory and an output of their own, and can be
killed at any moment.
"""

import atexit
import json
import multiprocessing
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self

from tests.support.environment import ROOT

PATIENCE = 120.0
IMPORTED = [
    "alembic.config",
    "app.cli.main",
    "app.encryption",
    "app.migrations.autogenerate",
    "app.migrations.run.blockers",
    "app.migrations.data_loss",
    "app.migrations.operations.table_copy",
    "app.migrations.run.environment",
    "app.migrations.autogenerate.postgresql_only",
    "app.secrets.jobs",
    "app.models",
    "app.secrets",
    "cryptography.hazmat.primitives.ciphers.aead",
    "postgast",
    "psycopg",
    "rich.console",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "tests.support.command_processes",  # each would look for it, and for what it is in
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


class Unprepared:
    """Runs modules of Python in processes that have imported nothing of ours: for copies of the project.

    They are forks of one that has imported all that isn't ours, which is most of the time that a command takes.
    """

    def __init__(self) -> None:
        self._parent: subprocess.Popen[str] | None = None

    def run(self, *args: str, env: Mapping[str, str], folder: Path) -> Done:
        """Runs `python -m` with these arguments in a folder, and waits for its end."""
        if self._parent is None:
            command = [sys.executable, "-c", _FORKS]
            self._parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")
            atexit.register(self._stop)
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        with tempfile.TemporaryDirectory(prefix="output-") as output:
            told = json.dumps([args, dict(env), str(folder), output])
            print(told, file=self._parent.stdin, flush=True)
            code = int(self._parent.stdout.readline())
            said = [(Path(output) / stream).read_text(encoding="utf-8") for stream in ("stdout", "stderr")]
        return Done(code, *said)

    def _stop(self) -> None:
        if self._parent is not None:
            self._parent.communicate()


_FORKS = """\
import json, os, runpy, sys
import alembic.autogenerate, alembic.config, cryptography.hazmat.primitives.ciphers.aead, dotenv, postgast, psycopg
import rich.console, sqlalchemy.dialects.postgresql.psycopg, sqlalchemy.dialects.sqlite.pysqlite
import sqlalchemy.ext.hybrid, typer.core

for line in sys.stdin:
    args, env, folder, output = json.loads(line)
    if process := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
        continue
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in enumerate(("stdout", "stderr"), 1):
        os.dup2(os.open(os.path.join(output, name), os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.argv, sys.path[0] = args, folder
    code = 0
    try:
        runpy.run_module(args[0], run_name="__main__", alter_sys=True)
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
"""


def _run(
    command: Command, args: tuple[str, ...], env: dict[str, str], *, folder: str, output: str, as_nobody: bool
) -> None:
    for stream in (sys.stdout, sys.stderr):
        name = os.path.join(output, stream.name.strip("<>"))  # noqa: PTH118 - as str, for the next line
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), stream.fileno())
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    if {"KILL_AT", "MOMENTS"} & env.keys():
        from tests.support import kill_moments

        kill_moments.install()
    if as_nobody and os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    if command == "alembic":
        from alembic.config import main as alembic

        alembic(args, prog="alembic")
    else:
        from app.cli.main import main as schema

        sys.argv = ["schema", *args]
        schema()


UNPREPARED = Unprepared()


class Ended(Protocol):
    """How a command ended that ran as a process."""

    @property
    def returncode(self) -> int: ...
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...


def failed(done: Ended, code: int, *secrets: str) -> str:
    """The one line that a command said when it failed with this code; no secret may be in anything that it said."""
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said
    assert not [secret for secret in secrets if secret in said]
    [line] = [line for line in said.splitlines() if line.startswith("FAILED")]
    return line


def start_schema(*args: str, **variables: str) -> Running:
    """Starts the command `schema` in a process of its own."""
    env = {"GATEWAY_SCHEMA_ENV_FILE": "", "COLUMNS": "100", "TERM": "dumb", **variables}
    return Running("schema", args, env, ROOT)


def python(*args: str, answer: bytes = b"", env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs Python in the project's root, with `answer` as its standard input and with variables of its own."""
    done = subprocess.run(
        [sys.executable, *args],
        cwd=ROOT,
        env=os.environ | dict(env or {}),
        input=answer,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
