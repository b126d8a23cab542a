"""Creates databases of each kind, empty or as copies of a template."""

import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.postgres import Server

OLDER = "postgresql17"
DATABASES = ["sqlite", "postgresql", pytest.param(OLDER, marks=pytest.mark.exhaustive)]
# Where every day one will do: a test that takes long, of what hardly depends on the database.
ONE_A_DAY = ["postgresql", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("sqlite", OLDER))]
KINDS = ["sqlite", "postgresql"]


def everyday(cases: Iterable[Any], chosen: Collection[Any]) -> list[Any]:
    """Returns the parameters of a test; those that aren't chosen for the default run are `exhaustive`."""
    cases = list(cases)
    assert set(chosen) <= set(cases)
    return [case if case in chosen else pytest.param(case, marks=pytest.mark.exhaustive) for case in cases]


def mark_in_turn(items: Iterable[pytest.Item]) -> None:
    """Leaves each case of a test to one kind of database in the default run, to another one than the case before."""
    for number, kinds in _cases(items):
        if {*KINDS} <= kinds.keys():
            kinds[KINDS[1 - number % 2]].add_marker("exhaustive")


def left_to_another(items: Iterable[pytest.Item]) -> set[pytest.Item]:
    """Returns all items of each case but one, which takes another kind of database than the case before."""
    left = set[pytest.Item]()
    for number, kinds in _cases(items):
        left |= {*kinds.values()} - {[*kinds.values()][number % len(kinds)]}
    return left


def left_to_the_newer(items: Iterable[pytest.Item]) -> set[pytest.Item]:
    """Returns two of three cases on PostgreSQL 17 of those that 18 takes too: the long run has an hour."""
    return {kinds[OLDER] for number, kinds in _cases(items) if {"postgresql", OLDER} <= kinds.keys() and number % 3}


def _cases(items: Iterable[pytest.Item]) -> Iterator[tuple[int, dict[str, pytest.Item]]]:
    """Lists a number for each case of a test, and its items by the kind of database."""
    cases: dict[str, dict[str, dict[str, pytest.Item]]] = {}
    for item in items:
        if not hasattr(item, "callspec"):
            continue
        assert isinstance(item, pytest.Function)
        given = item.callspec.params
        where = next((value for value in given.values() if value in (*KINDS, OLDER)), None)
        case = repr([value for value in given.values() if value is not where])
        if where is not None:
            cases.setdefault(f"{item.path}::{item.originalname}", {}).setdefault(case, {})[where] = item
    for first, of_test in enumerate(cases.values()):
        yield from enumerate(of_test.values(), first)


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


@contextmanager
def database(kind: str, servers: Servers, folder: Path, template: str | None = None) -> Iterator[str]:
    """Makes a database of a kind, empty or a copy of the template, for as long as the context lasts."""
    if kind == "sqlite":
        file = Path(tempfile.mkdtemp(dir=folder)) / "gateway.db"
        if template:
            shutil.copyfile(template.removeprefix("sqlite:///"), file)
        yield f"sqlite:///{file}"
        return
    server = servers[int(kind.removeprefix("postgresql") or 18)]
    url = server.create_database(template)
    try:
        yield url
    finally:
        server.drop_database(url)


class At(Protocol):
    """The type of the fixture `at`."""

    def __call__(self, revision: str) -> str:
        """Makes a database at a revision, or an empty one at `base`, and returns its URL."""
