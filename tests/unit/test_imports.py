"""Who may import whom: a module of app imports only from groups to its left, a revision hardly anything of app."""

import ast
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.environment import ROOT

# Each may import from the groups above its own, and from itself.
GROUPS = [
    ["app.errors", "app.server_session"],
    ["app.throwaway_server", "app.database_url", "app.periods"],
    ["app.encryption", "app.partitions", "app.triggers", "app.dialect_text", "app.sql_text", "app.db"],
    ["app.settings", "app.backfill"],
    ["app.migrations.sql"],
    ["app.models", "app.secrets"],
    ["app.migrations.errors"],
    ["app.migrations.terminal", "app.migrations.one_command", "app.migrations.checksums"],
    ["app.migrations.own_tables", "app.migrations.file_contents", "app.migrations.code_version"],
    ["app.migrations.ahead", "app.migrations.limits"],
    ["app.migrations.phases", "app.migrations.releases"],
    ["app.migrations.line"],
    ["app.migrations.session", "app.migrations.project"],
    ["app.migrations.guard", "app.migrations.x_options"],
    ["app.migrations.snapshots", "app.migrations.rules"],
    ["app.migrations.operations"],
    ["app.migrations.data_loss", "app.migrations.autogenerate"],
    ["app.migrations.lint"],
    ["app.migrations.run"],
    ["app.migrations.drift"],
    ["app.migrations.adopt", "app.migrations.partitions"],
    ["app.migrations.commands"],
    ["app.migrations"],
    ["app.project", "app.revision_api"],
    ["app.cli", "app.testing"],
]
# The engine serves any project; what it needs of this one arrives as an argument.
ENGINE = ["app.encryption", "app.backfill", "app.secrets", "app.migrations", "app.db", "app.database_url"]
OURS = ["app.models", "app.settings", "app.project"]
OF_A_REVISION = ["app.revision_api"]
# Folders: who is outside imports their face, or one of their modules as a whole (`from room import module`).
ROOMS = [
    ".".join(path.parent.relative_to(ROOT).parts)
    for path in sorted((ROOT / "app").rglob("__init__.py"))
    if path.parent not in (ROOT / "app", ROOT / "app" / "migrations")  # their own modules are for all
]
# Modules that are faces too, since the room's own would load more than most need.
MORE_FACES = {
    "app.backfill.workers": "loads multiprocessing",
    "app.secrets.jobs": "loads multiprocessing",
    "app.migrations.operations.script": "loads autogenerate's renderer",
    "app.migrations.sql.work": "loads PostgreSQL's grammar",
    "app.migrations.rules.stalls": "has rules that an upgrade needs none of",
    "app.migrations.rules.releases": "has rules that an upgrade needs none of",
    "app.migrations.rules.watch": "loads PostgreSQL's grammar",
}


class Import(NamedTuple):
    """One imported name, and whether that happens inside a function."""

    name: str
    inner: bool


def imports(source: str, package: str = "") -> Iterator[Import]:
    """Finds every import of a module, `from a import b` as a.b."""

    def walk(node: ast.AST, *, inner: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, inner) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (Import(f"{base}.{alias.name}", inner) for alias in node.names)
        inner = inner or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inner=inner)

    return walk(ast.parse(source), inner=False)


def within(name: str, module: str) -> bool:
    return f"{name}.".startswith(f"{module}.")


def unit(name: str) -> tuple[int, str]:
    """The group of a module, and the module or package by which it is named there."""
    found = [(index, entry) for index, group in enumerate(GROUPS) for entry in group if within(name, entry)]
    assert found, f"{name} is in no group"
    return max(found, key=lambda place: len(place[1]))


def broken_by_module(name: str, source: str, package: str) -> list[str]:
    """Says which imports of a module of app break the rule."""
    group, entry = unit(name)

    def allowed(imported: str) -> bool:
        if within(imported, "alembic"):
            return entry != "app.models"
        if not within(imported, "app"):
            return True
        imported_group, imported_entry = unit(imported)
        if any(within(name, room) for room in ENGINE) and imported_entry in OURS:
            return False
        return imported_group < group or imported_entry == entry

    return [f"{name} imports {found.name}" for found in imports(source, package) if not allowed(found.name)]


def room(name: str) -> str | None:
    """Returns the room that a name is in."""
    return next((entry for entry in ROOMS if within(name, entry)), None)


def past_a_face(name: str, source: str, package: str) -> list[str]:
    """Says which imports of a module reach into another room, past its face."""

    def allowed(imported: str) -> bool:
        target = room(imported)
        module = imported.rpartition(".")[0]
        return target in (None, room(name)) or module == target or module in MORE_FACES or imported in ROOMS

    return [f"{name} imports {found.name}" for found in imports(source, package) if not allowed(found.name)]


def broken_by_revision(name: str, source: str) -> list[str]:
    """Says which imports of a revision break the rule."""

    def allowed(found: Import) -> bool:
        root = found.name.partition(".")[0]
        if root in {"alembic", "sqlalchemy"} | sys.stdlib_module_names:
            return True
        return any(within(found.name, module) for module in OF_A_REVISION)

    return [f"{name} imports {found.name}" for found in imports(source) if not allowed(found)]


def sources() -> Iterator[tuple[str, str, str]]:
    """Lists the modules of app: name, source, package."""
    for path in (ROOT / "app").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        package = ".".join(parts[:-1])
        name = package if parts[-1] == "__init__" else ".".join(parts)
        if name != "app":
            yield name, path.read_text(encoding="utf-8"), package


def test_modules_import_only_from_their_left() -> None:
    assert not [line for source in sources() for line in broken_by_module(*source)]


def test_rooms_are_entered_by_their_face() -> None:
    assert not [line for source in sources() for line in past_a_face(*source)]


def test_app_itself_imports_nothing() -> None:
    path = ROOT / "app" / "__init__.py"
    assert not path.exists() or not list(imports(path.read_text(encoding="utf-8")))


def test_revisions_import_no_models() -> None:
    broken: list[str] = []
    for path in (ROOT / "alembic" / "versions").glob("*.py"):
        broken += broken_by_revision(path.name, path.read_text(encoding="utf-8"))
    assert not broken


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("app.settings", "from app.encryption import Keyring"),
        ("app.models.gateway", "from app.models.base import Base\nfrom app import encryption"),
        ("app.models.gateway", "from .base import Base"),
        ("app.db", "from app.errors import SettingsError"),
        ("app.project", "def base():\n    from app.models import Base"),
        ("app.migrations.data_loss.guard", "import alembic\nfrom app.migrations.rules import RULES"),
    ],
)
def test_a_good_module_passes(name: str, source: str) -> None:
    assert broken_by_module(name, source, package=name.rpartition(".")[0]) == []


@pytest.mark.parametrize(
    ("name", "source", "imported"),
    [
        ("app.encryption", "import app.settings", "app.settings"),
        ("app.encryption", "from app import triggers", "app.triggers"),
        ("app.db", "from .models import Base", "app.models.Base"),
        ("app.models.base", "def late():\n    from alembic import op", "alembic.op"),
        ("app.models.auth", "from ..migrations import errors", "app.migrations.errors"),
        ("app.migrations.run.runner", "from app.models import Base", "app.models.Base"),
        ("app.secrets.jobs", "def late():\n    from app import settings", "app.settings"),
        ("app.migrations.sql.lexer", "from app.migrations.run import lock", "app.migrations.run.lock"),
        (
            "app.migrations.snapshots",
            "from app.migrations.operations import script",
            "app.migrations.operations.script",
        ),
        ("app.migrations.commands", "from app.cli import main", "app.cli.main"),
    ],
)
def test_a_bad_module_is_found(name: str, source: str, imported: str) -> None:
    found = broken_by_module(name, source, package=name.rpartition(".")[0])
    assert found == [f"{name} imports {imported}"]


@pytest.mark.parametrize(
    "source",
    [
        "from app.backfill import Pace, workers",
        "from app.backfill.workers import Worker",
        "from app.migrations.run import lock\nfrom app.migrations import run",
        "from app.secrets import plaintext",
        "import app.sql_text\nfrom app.db import engine",
    ],
)
def test_a_face_may_be_used(source: str) -> None:
    assert past_a_face("app.secrets.jobs", source, "app.secrets") == []


@pytest.mark.parametrize(
    ("source", "imported"),
    [
        ("from app.backfill.sweep import Sweep", "app.backfill.sweep.Sweep"),
        ("from app.migrations.run.lock import Lock", "app.migrations.run.lock.Lock"),
        ("def late():\n    from ..encryption.keys import Keyring", "app.encryption.keys.Keyring"),
    ],
)
def test_a_way_past_a_face_is_found(source: str, imported: str) -> None:
    assert past_a_face("app.secrets.jobs", source, "app.secrets") == [f"app.secrets.jobs imports {imported}"]


def test_a_good_revision_passes() -> None:
    source = "import sqlalchemy as sa\nfrom alembic import op\nfrom app.revision_api import EncryptColumns\n"
    assert broken_by_revision("r.py", source) == []


@pytest.mark.parametrize(
    ("source", "imported"),
    [
        ("from app.backfill import Backfill", "app.backfill.Backfill"),
        ("def upgrade():\n    from app.models import User", "app.models.User"),
        ("import rich", "rich"),
    ],
)
def test_a_bad_revision_is_found(source: str, imported: str) -> None:
    assert broken_by_revision("r.py", source) == [f"r.py imports {imported}"]
