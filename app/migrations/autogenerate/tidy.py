"""The write hook `tidy`: formats a new revision with ruff."""

import importlib.util
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from alembic.script import write_hooks

from app.migrations.errors import MigrationError

log = logging.getLogger("app.migrations")

_BANNER = re.compile(r"^ *# ### .* ###\n", re.MULTILINE)


@write_hooks.register("tidy")
def tidy(path: str, _options: Any) -> None:
    """Takes Alembic's banners out of a revision, and formats it, if ruff is installed.

    Raises:
        MigrationError: ruff can't read the file, which is left as Alembic wrote it.
    """
    file = Path(path)
    file.write_text(_BANNER.sub("", file.read_text(encoding="utf-8")), encoding="utf-8")
    if importlib.util.find_spec("ruff") is None:  # an extra: production writes no revisions
        log.warning("%s was written, and not formatted: ruff isn't installed. Install it: pip install ruff", file.name)
        return
    for command in (["check", "--fix", "--quiet", "--exit-zero"], ["format", "--quiet"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, path], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise MigrationError(f"ruff can't tidy {file.name}: {(done.stderr or done.stdout).strip()}")
