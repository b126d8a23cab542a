"""A throw-away PgBouncer in front of a test server; Debian's package, which `.ci/run` installs."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from sqlalchemy.engine import make_url

from tests.postgres import Server, ServerError, free_port

# Transactions of all clients share the server connections: what one sets for its session, another meets.
SETTINGS = {
    "pool_mode": "transaction",
    "default_pool_size": "4",
    "auth_type": "any",
    "listen_addr": "127.0.0.1",
    "unix_socket_dir": "",
    "ignore_startup_parameters": "extra_float_digits",
    "query_wait_timeout": "20",
}


class Pooler:
    """One running PgBouncer.

    Args:
        server: where it leads.
        settings: lines of its configuration, beside or instead of `SETTINGS`.
    """

    def __init__(self, server: Server, **settings: str) -> None:
        program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
        if program is None:
            raise ServerError("PgBouncer isn't installed; on Debian: apt-get install pgbouncer")
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
        lines = ["[databases]", f"* = host=127.0.0.1 port={server.port} user=postgres", "[pgbouncer]"]
        lines += [
            f"{name} = {value}" for name, value in (SETTINGS | {"listen_port": str(self.port)} | settings).items()
        ]
        (self._folder / "pgbouncer.ini").write_text("\n".join(lines), encoding="ascii")
        as_user = []
        if os.geteuid() == 0:  # PgBouncer refuses to run as root
            owner = pwd.getpwnam("nobody")
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
            as_user = ["-u", owner.pw_name]
        with (self._folder / "log").open("wb") as log:
            command = [program, "-q", *as_user, str(self._folder / "pgbouncer.ini")]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder)

    def url(self, direct: str) -> str:
        """Returns the URL of a database of the server that leads through the pooler."""
        return make_url(direct).set(port=self.port).render_as_string(hide_password=False)

    def _wait(self) -> None:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise ServerError(f"PgBouncer didn't start\n{(self._folder / 'log').read_text(errors='replace')[-2000:]}")
