"""The guides of docs/adopt.md, run step by step: each answers what the page says; `--approve` rewrites the page."""

import re
from pathlib import Path

import pytest

from tests.support.alembic_in_process import run_alembic
from tests.support.approved_texts import plain
from tests.support.database_access import execute, run_script
from tests.support.databases import Servers, database
from tests.support.environment import ROOT
from tests.support.guides import answered
from tests.support.known_keys import ENVIRONMENT
from tests.support.schema_in_process import schema

pytestmark = pytest.mark.exhaustive

PAGE = ROOT / "docs" / "adopt.md"
GUIDE = re.compile(r"<!-- database: (\S+) -->(.*?)(?=\n## |\Z)", re.DOTALL)


def guides() -> list[str]:
    return [match[1] for match in GUIDE.finditer(PAGE.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("dump", guides())
def test_a_guide_says_what_happens(dump: str, servers: Servers, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    page = PAGE.read_text(encoding="utf-8")
    guide = next(match for match in GUIDE.finditer(page) if match[1] == dump)
    with database("postgresql", servers, tmp_path) as url:
        run_script(url, (ROOT / "tests" / "legacy" / dump).read_text(encoding="utf-8").replace("public.", ""))
        told = answered(guide[2], lambda words: run(words, url))
    if request.config.getoption("--approve"):
        PAGE.write_text(page[: guide.start(2)] + told + page[guide.end(2) :], encoding="utf-8")
        return
    assert told == guide[2]


def run(words: list[str], url: str) -> str:
    if words[0] == "psql":
        execute(url, words[2])
        return "DELETE 1"
    done = (
        run_alembic(*words[1:], url=url, env=ENVIRONMENT)
        if words[0] == "alembic"
        else schema(*words[1:], DATABASE_URL=url, **ENVIRONMENT)
    )
    text = re.sub(r"\S+://\S+/\w+", "postgresql+psycopg://gateway@db/gateway", plain(done.stderr + done.stdout))
    return re.sub(r"\d+\.\d+ s\b", "0.4 s", re.sub(r"\b[0-9a-f]{16}\b", "c0ffee0123456789", text))
