"""Copies the project's source, so that a test may edit the models and run commands on them."""

import shutil
from pathlib import Path

from tests.support.alembic_in_process import HEAD, REVISIONS
from tests.support.command_processes import UNPREPARED, Done
from tests.support.environment import ROOT, variables
from tests.support.project_copy import ProjectCopy


class SourceCopy(ProjectCopy):
    """A copy of the whole project, as it is laid out, with models that can be edited."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ini = folder / "alembic.ini"
        self.versions = folder / "alembic" / "versions"
        for name in ("app", "alembic"):
            # With the bytecode, but for what another process is writing at this moment.
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc.*"))
        for name in ("alembic.ini", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)

    def edit(self, model: str, *edits: tuple[str, str], end: str = "") -> None:
        """Replaces texts in a file of models, and adds one."""
        file = self.folder / "app" / "models" / model
        text = file.read_text(encoding="utf-8")
        for old, new in edits:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        file.write_text(text + end, encoding="utf-8")

    def edited(self, *args: str, url: str) -> Done:
        """Runs the command `alembic` with the edited models, which takes a process that has imported nothing yet."""
        return UNPREPARED.run("alembic", *args, env=variables(url), folder=self.folder)

    def written(self) -> list[Path]:
        """The files of revisions that the project doesn't have."""
        return sorted(file for file in self.versions.glob("*.py") if file.name[:14] not in REVISIONS)


def timeless(*files: Path) -> str:
    """The texts of revisions that follow each other, without their ids and the first one's parent's."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in files).replace(HEAD, "HEAD")
    for number, file in enumerate(files):
        text = text.replace(file.name[:14], "YYYYMMDDHHMMSS" + f"+{number}" * bool(number))
    return text
