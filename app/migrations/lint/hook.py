"""The write hook `lint`: shows the findings in a new revision."""

import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from app.migrations.lint.findings import lint

log = logging.getLogger("app.migrations")


def show_findings(small: Sequence[str], path: str, options: Any) -> None:
    """Logs the findings in a revision that was just written; whatever they are, the command goes on.

    Args:
        small: tables that may be locked, as their models say.
        path: the revision.
        options: `root` is the folder of `alembic.ini`.
    """
    config = Config(Path(options["root"]) / "alembic.ini", stdout=io.StringIO())
    try:
        revision = ScriptDirectory.from_config(config).get_revision(Path(path).name.partition("_")[0])
        findings = lint(config, [revision], small=small).findings
    except CommandError as error:  # it is another history's: `schema lint` says more
        log.warning("%s wasn't looked at by lint: %s", Path(path).name, error)
        return
    for finding in findings:
        log.warning("%s", finding.text())
