"""squawk beside `schema lint`: python -m tests.support.squawk FOLDER compares them on each file of a folder."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from alembic.config import Config
from sqlalchemy.dialects import postgresql

from app.migrations.data_loss import Preview
from app.migrations.lint import lint
from app.migrations.session import Direction, Step
from tests.support.alembic_in_process import HEAD, INI

# Style, and limits that the run sets for each statement: no peers of our rules.
EXCLUDED = (
    "prefer-robust-stmts,require-lock-timeout,require-statement-timeout,require-timeout-settings,prefer-bigint-over-int,"
    "prefer-identity,prefer-text-field,prefer-timestamptz,ban-char-field,prefer-bigint-over-smallint"
)


def script(file: Path, parent: str | None = HEAD) -> Any:
    """A file as Alembic's script, after the revision `parent`, whose snapshot has the facts."""
    spec = spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    revision = getattr(module, "revision", file.stem)
    return SimpleNamespace(revision=revision, down_revision=parent, doc="", path=str(file), module=module)


def as_sql(file: Path) -> str:
    """The upgrade of a file as lint sees it, with the bounds of its transactions."""
    made = script(file)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    rendered = Preview(dialect).render(Step(made.revision, Direction.UPGRADE, "", file, made.module))
    return "".join(f"{statement};\n" for statement in ["BEGIN", *(text for text, _ in rendered.statements), "COMMIT"])


def ours(file: Path, ini: Path = INI) -> list[str]:
    """The rules that `schema lint` finds in a file."""
    done = lint(Config(ini), [script(file)])
    return sorted({finding.stall.rule for finding in done.findings})


def program() -> str | None:
    """The command `squawk` of this environment; None if it isn't installed."""
    return shutil.which("squawk", path=str(Path(sys.executable).parent)) or shutil.which("squawk")


def squawk(sql: str, excluded: str = EXCLUDED) -> list[str]:
    """The rules that squawk finds in SQL."""
    found = program()
    assert found is not None, "pip install squawk-cli"
    command = [found, "--reporter", "json", "--pg-version", "15", "--stdin-filepath", "revision.sql"]
    command += [f"--exclude={excluded}"] if excluded else []
    done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False)
    return sorted({finding["rule_name"] for finding in json.loads(done.stdout)})


def main(arguments: Sequence[str]) -> None:
    """Prints a line for each file: whether both agree that it is safe or not, and what each finds."""
    count = Counter[tuple[bool, bool]]()
    for file in sorted(Path(arguments[0]).glob("*.py")):
        found = ours(file), squawk(as_sql(file))
        count[bool(found[0]), bool(found[1])] += 1
        print(f"{file.name}\n  lint    {', '.join(found[0]) or '-'}\n  squawk  {', '.join(found[1]) or '-'}")  # noqa: T201
    both, neither = count[True, True], count[False, False]
    alone = f"lint alone {count[True, False]}, squawk alone {count[False, True]}"
    print(f"{count.total()} files: both {both}, neither {neither}, {alone}")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
