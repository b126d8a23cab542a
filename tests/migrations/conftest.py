"""Databases that stopped somewhere in the history, and histories of a test's own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.conftest import DATABASES, Servers, database
from tests.migrations.histories import History, scripts, upgrade
from tests.migrations.processes import Project
from tests.migrations.workshops import Workshop


class At(Protocol):
    """The type of the fixture `at`."""

    def __call__(self, revision: str) -> str:
        """Makes a database at a revision, or an empty one at `base`, and returns its URL."""


@pytest.fixture(scope="session")
def stops(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], str | None]]:
    """The URL of the session's database of a kind at a revision, to be copied and not touched; None at base."""
    made: dict[tuple[str, str], str] = {}
    with ExitStack() as exits:

        def stop(kind: str, revision: str) -> str | None:
            if revision == "base":
                return None
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
def project(tmp_path: Path) -> Project:
    """A copy of the project's history, and the command `alembic` in real processes."""
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder)


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A workshop, which our commands use for the length of the test."""
    folder = tmp_path / "workshop"
    folder.mkdir()
    made = Workshop(folder)
    monkeypatch.setenv("ALEMBIC_CONFIG", str(made.ini))
    return made
