"""Databases, the `alembic` command and approved texts for the tests."""

import difflib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.alembic_in_process import HEAD, Alembic, History, run_alembic, scripts, upgrade
from tests.support.approved_texts import APPROVED, Approve
from tests.support.databases import DATABASES, At, Servers, database, left_to_another, left_to_the_newer, mark_in_turn
from tests.support.editable_project import EditableProject
from tests.support.environment import OURS
from tests.support.project_copy import ProjectCopy
from tests.support.source_copy import SourceCopy


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--approve", action="store_true", help="rewrite the texts in tests/approved")
    parser.addoption("--every", action="store_true", help="give each database every case; the long run has an hour")


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marker
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what is `in_turn`, and leaves cases on some databases to the others."""
    mark_in_turn([item for item in items if item.get_closest_marker("in_turn")])
    if not config.getoption("--every"):
        left = left_to_another([item for item in items if item.get_closest_marker("one_database")])
        left |= left_to_the_newer(item for item in items if item not in left)
        config.hook.pytest_deselected(items=[item for item in items if item in left])
        items[:] = [item for item in items if item not in left]


@pytest.fixture(autouse=True)
def nobody_elses_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the developer's own variables and `.env` out of a test, and out of the next one what Alembic adds.

    It puts a folder before `sys.path` with every command, and each import would look there.
    """
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in os.environ:
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GATEWAY_SCHEMA_ENV_FILE", "")


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The PostgreSQL servers: `servers[18]`, `servers[17]`."""
    servers = Servers()
    yield servers
    servers.stop()


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, on each kind of database in turn."""
    with database(request.param, servers, tmp_path) as url:
        yield url


@pytest.fixture
def sqlite_url(servers: Servers, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty SQLite database, whose file does not exist yet."""
    with database("sqlite", servers, tmp_path) as url:
        yield url


@pytest.fixture
def postgres_url(servers: Servers, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    with database("postgresql", servers, tmp_path) as url:
        yield url


@pytest.fixture(params=DATABASES)
def head_url(
    request: pytest.FixtureRequest, heads: Callable[[str], str], servers: Servers, tmp_path: Path
) -> Iterator[str]:
    """The URL of a database at head, on each kind of database in turn: a copy of one made for the session."""
    with database(request.param, servers, tmp_path, template=heads(request.param)) as url:
        yield url


@pytest.fixture(scope="session")
def heads(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """The URL of the session's database at head of a kind, to be copied and not touched."""
    made: dict[str, str] = {}
    with ExitStack() as exits:

        def head(kind: str) -> str:
            if kind not in made:
                url = exits.enter_context(database(kind, servers, tmp_path_factory.mktemp("head")))
                upgrade(url)
                made[kind] = url
            return made[kind]

        yield head


@pytest.fixture(scope="session")
def alembic() -> Alembic:
    """The command `alembic` in the project's root, in this process, with nobody's variables but the test's."""
    return run_alembic


@pytest.fixture
def approve(request: pytest.FixtureRequest) -> Approve:
    """Compares a whole text with tests/approved/{name}, or rewrites that file under --approve."""

    def compare(name: str, text: str) -> None:
        path = APPROVED / name
        if request.config.getoption("--approve"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        approved = path.read_text(encoding="utf-8") if path.exists() else ""
        if text != approved:
            lines = approved.splitlines(keepends=True), text.splitlines(keepends=True)
            difference = "".join(difflib.unified_diff(*lines, f"approved/{name}", "this run"))
            pytest.fail(f"{difference}\npytest --approve takes it over", pytrace=False)

    return compare


@pytest.fixture(scope="session")
def stops(
    heads: Callable[[str], str], servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], str | None]]:
    """The URL of the session's database of a kind at a revision, to be copied and not touched; None at base."""
    made: dict[tuple[str, str], str] = {}
    with ExitStack() as exits:

        def stop(kind: str, revision: str) -> str | None:
            if revision == "base":
                return None
            if revision == HEAD:
                return heads(kind)
            if (kind, revision) not in made:
                parent = stop(kind, str(scripts().get_revision(revision).down_revision or "base"))
                folder = tmp_path_factory.mktemp(revision)
                url = exits.enter_context(database(kind, servers, folder, template=parent))
                upgrade(url, revision)
                made[kind, revision] = url
            return made[kind, revision]

        yield stop


@pytest.fixture(params=DATABASES)
def at(
    request: pytest.FixtureRequest, stops: Callable[[str, str], str | None], servers: Servers, tmp_path: Path
) -> Iterator[At]:
    """Makes databases at any revision, on each kind of database in turn."""
    with ExitStack() as exits:

        def make(revision: str) -> str:
            template = stops(request.param, revision)
            return exits.enter_context(database(request.param, servers, tmp_path, template=template))

        yield make


@pytest.fixture
def sqlite_head(stops: Callable[[str, str], str | None], servers: Servers, tmp_path: Path) -> Iterator[str]:
    """The URL of an SQLite database at head, where one kind of database will do."""
    with database("sqlite", servers, tmp_path, template=stops("sqlite", str(scripts().get_current_head()))) as url:
        yield url


@pytest.fixture
def history(tmp_path: Path) -> History:
    """An empty history of the test's own."""
    folder = tmp_path / "history"
    folder.mkdir()
    return History(folder)


@pytest.fixture
def project(tmp_path: Path) -> ProjectCopy:
    """A copy of the project's history, and the command `alembic` in real processes."""
    folder = tmp_path / "project"
    folder.mkdir()
    return ProjectCopy(folder)


@pytest.fixture
def editable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EditableProject:
    """An editable project, which our commands use for the length of the test."""
    folder = tmp_path / "editable"
    folder.mkdir()
    made = EditableProject(folder)
    monkeypatch.setenv("ALEMBIC_CONFIG", str(made.ini))
    return made


@pytest.fixture
def source_copy(tmp_path: Path) -> SourceCopy:
    """A copy of the project's source, whose models the test may edit."""
    folder = tmp_path / "copy"
    folder.mkdir()
    return SourceCopy(folder)
