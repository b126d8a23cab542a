"""Databases, the `alembic` command and approved texts for the tests."""

import difflib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from tests import commands
from tests.commands import Done, Running
from tests.postgres import Server

ROOT = commands.ROOT
APPROVED = Path(__file__).parent / "approved"
OURS = ("ALEMBIC_", "DATABASE_URL", "ENCRYPTION_", "GATEWAY_SCHEMA_", "GITHUB_TOKEN_", "PG")
DATABASES = ["sqlite", "postgresql", pytest.param("postgresql17", marks=pytest.mark.exhaustive)]
# Where every day one will do: a test that takes long, of what hardly depends on the database.
ONE_A_DAY = ["postgresql", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("sqlite", "postgresql17"))]


class Alembic(Protocol):
    """The type of the fixture `alembic`."""

    def __call__(self, *args: str, url: str, env: Mapping[str, str] | None = None) -> Done:
        """Runs the command `alembic` in the project's root."""


class Approve(Protocol):
    """The type of the fixture `approve`."""

    def __call__(self, name: str, text: str) -> None:
        """Compares a text with tests/approved/{name}."""


class Servers:
    """The session's PostgreSQL servers by major version, each started when it is first asked for."""

    def __init__(self) -> None:
        self._started: dict[int, Server] = {}
        self._exits = ExitStack()

    def __getitem__(self, major: int) -> Server:
        if major not in self._started:
            self._started[major] = self._exits.enter_context(Server(major))
        return self._started[major]

    def stop(self) -> None:
        self._exits.close()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spreads the longest over the others, so that each process of the tests gets its share of them."""
    longest = [item for item in items if "at_any_moment" in item.name]
    others = [item for item in items if "at_any_moment" not in item.name]
    apart = len(others) // max(len(longest), 1) + 1
    for number, item in enumerate(longest):
        others.insert(number * apart, item)
    items[:] = others


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--approve", action="store_true", help="rewrite the texts in tests/approved")


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
                result = run_alembic("upgrade", "head", url=url)
                assert result.returncode == 0, result.stderr
                made[kind] = url
            return made[kind]

        yield head


@contextmanager
def database(kind: str, servers: Servers, folder: Path, template: str | None = None) -> Iterator[str]:
    """Makes a database of a kind, empty or a copy of the template, for as long as the context lasts."""
    if kind == "sqlite":
        file = Path(tempfile.mkdtemp(dir=folder)) / "gateway.db"
        if template:
            shutil.copyfile(template.removeprefix("sqlite:///"), file)
        yield f"sqlite:///{file}"
        return
    server = servers[{"postgresql": 18, "postgresql17": 17}[kind]]
    url = server.create_database(template)
    try:
        yield url
    finally:
        server.drop_database(url)


@pytest.fixture(scope="session")
def alembic() -> Alembic:
    """The command `alembic` as a process of its own, with nobody's variables but the test's."""
    return run_alembic


def run_alembic(*args: str, url: str, env: Mapping[str, str] | None = None) -> Done:
    """Runs the command `alembic` in the project's root, in an environment without variables of ours."""
    return Running("alembic", args, variables(url) | dict(env or {}), ROOT).wait()


def variables(url: str) -> dict[str, str]:
    """The variables of a process: ours are those of a test alone."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return inherited | {"DATABASE_URL": url, "GATEWAY_SCHEMA_ENV_FILE": ""}


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
