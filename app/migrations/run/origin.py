"""Who runs a migration, and from what code."""

import getpass
import os
from functools import cache
from pathlib import Path

import sqlalchemy as sa


@cache
def code_version(root: Path | None) -> str | None:
    """The commit that the code is at, from `SCHEMA_CODE_VERSION` or the repository; None if neither tells."""
    if told := os.environ.get("SCHEMA_CODE_VERSION"):
        return told
    if root is None:
        return None
    git = root / ".git"
    try:
        head = (git / "HEAD").read_text(encoding="ascii").strip()
        name = head.removeprefix("ref: ")
        if name == head:
            return head
        if (git / name).is_file():
            return (git / name).read_text(encoding="ascii").strip()
        packed = (git / "packed-refs").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), None)


def database_user(connection: sa.Connection) -> str:
    """The role of the server, or on SQLite the user of the operating system."""
    if connection.dialect.name == "postgresql":
        return str(connection.exec_driver_sql("SELECT current_user").scalar_one())
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return str(os.getuid())
