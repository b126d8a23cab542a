"""The layers of the tests: those of tests/unit reach neither a database nor a process."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable

import psycopg
import pytest
import sqlalchemy as sa

from tests.support.environment import ROOT

WAYS: dict[str, Callable[[], object]] = {
    "subprocess": lambda: subprocess.run([sys.executable, "-c", ""], check=False),
    "fork": lambda: os.fork(),  # noqa: PLW0108 - looked up when it is called
    "sqlite3": lambda: sqlite3.connect(":memory:"),
    "sqlalchemy on SQLite": lambda: sa.create_engine("sqlite://").connect(),
    "sqlalchemy on PostgreSQL": lambda: sa.create_engine("postgresql+psycopg://127.0.0.1:1/x").connect(),
    "psycopg": lambda: psycopg.connect("host=127.0.0.1 port=1"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_unit_test_that_connects_or_starts_a_process_fails(way: str) -> None:
    with pytest.raises(AssertionError, match="move it to another layer"):
        WAYS[way]()


def test_every_test_module_belongs_to_a_layer() -> None:
    layers = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").rglob("test_*.py")}
    assert layers == {"unit", "database", "command", "scenarios"}
