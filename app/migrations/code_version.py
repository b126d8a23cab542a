"""The version of the code that writes a row of the ledger."""

import os
from functools import cache
from pathlib import Path


@cache
def code_version(root: Path) -> str | None:
    """Returns the commit that the code is at, from `SCHEMA_CODE_VERSION` or the repository."""
    if version := os.environ.get("SCHEMA_CODE_VERSION"):
        return version
    git = root / ".git"
    try:
        if git.is_file():  # of a worktree or a submodule: it names the folder
            git = root / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text(encoding="ascii").strip()
        name = head.removeprefix("ref: ")
        if name == head:
            return head
        if (common := git / "commondir").is_file():  # worktrees share their branches
            git /= common.read_text(encoding="utf-8").strip()
        if (git / name).is_file():
            return (git / name).read_text(encoding="ascii").strip()
        packed = (git / "packed-refs").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), None)
