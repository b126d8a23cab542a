"""SIGKILL between any two statements of an upgrade: the next one finishes, and nothing is lost or encrypted twice."""

import random
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.ciphers import FieldCipher
from tests.conftest import Servers, database
from tests.helpers import ENC_CIPHER, KEY, PASSPHRASE, TOKEN_CIPHER
from tests.migrations import rows
from tests.migrations.catalog import Schema, schema_of
from tests.migrations.histories import connected, query
from tests.migrations.processes import Project, applied, attempts, holder, wait_until
from tests.migrations.test_history import REVISIONS

SAMPLE = 3
ROWS = 2500  # three pages of a backfill
KEYS = {"ENCRYPTION_KEY": KEY, "GITHUB_TOKEN_ENCRYPTION_KEY": PASSPHRASE}
SECRETS: dict[tuple[str, str], tuple[FieldCipher, str]] = {
    ("users", "github_access_token"): (TOKEN_CIPHER, "gho_{}"),
    ("users", "github_refresh_token"): (TOKEN_CIPHER, "ghr_{}"),
    ("service_providers", "api_key"): (ENC_CIPHER, "sk-{}"),
}
# From where to where: together the whole history, each data revision with rows to change.
STRETCHES = [
    (None, "20251212003212"),
    ("20251212003212", "20260131000000"),
    ("20260131000000", "20260228000000"),
]
DIES = "__import__('os').kill(__import__('os').getpid(), 9)"
# Moments: before a transaction begins, and after each statement on whatever connection.
_KILL = """
import os, pathlib, signal
import sqlalchemy
passed = 0
def pass_by(*_):
    global passed
    passed += 1
    if str(passed) == os.environ.get("KILL_AT"):
        os.kill(os.getpid(), signal.SIGKILL)
    if "KILL_AT" not in os.environ:
        pathlib.Path("moments").write_text(str(passed))
for moment in ("begin", "after_cursor_execute"):
    sqlalchemy.event.listen(sqlalchemy.Engine, moment, pass_by)
"""


@dataclass(frozen=True)
class Stretch:
    """A part of the history, and a database where it begins."""

    kind: str
    end: str
    template: str | None
    before: rows.Values
    fresh_head: Schema
    moments: int


class Walk:
    """Kills upgrades of copies of a database."""

    def __init__(self, servers: Servers, folder: Path, heads: Callable[[str], str]) -> None:
        self._servers = servers
        self._folder = folder
        self._heads = heads
        self._project = _project(folder / "project")
        self._killed = _project(folder / "killed")
        self._killed.hook(_KILL)

    @contextmanager
    def stretch(self, kind: str, start: str | None, end: str) -> Iterator[Stretch]:
        """Prepares a database at `start`, and counts the moments on the way to `end`."""
        with database(kind, self._servers, self._folder) as url:
            if start is not None:
                assert self._project.alembic("upgrade", start, url=url).returncode == 0
                fill(url)
            template = url if start is not None else None
            with self._copy(kind, template) as copy:
                assert self._killed.alembic("upgrade", end, url=copy, env=KEYS).returncode == 0
            moments = int((self._killed.folder / "moments").read_text(encoding="ascii"))
            yield Stretch(kind, end, template, rows.values_in(url), schema_of(self._heads(kind)), moments)

    def kill(self, stretch: Stretch, moment: int) -> None:
        """Kills an upgrade at a moment, and looks at what is left and at what the next one makes of it."""
        with self._copy(stretch.kind, stretch.template) as url:
            env = KEYS | {"KILL_AT": str(moment)}
            # Pages keep to a pace, so one run has some statements more or fewer than another: the last may not come.
            assert self._killed.alembic("upgrade", stretch.end, url=url, env=env).returncode in (-signal.SIGKILL, 0)
            wait_until(lambda: holder(url) is None)
            if stretch.kind == "sqlite":  # where a reader has to clear up first
                current = self._project.alembic("current", url=url)
                assert (current.returncode, current.stdout.split()[:1]) == (0, applied(url)[-1:]), (moment, current)
            done = applied(url)
            assert done == REVISIONS[: len(done)]
            crashed = [revision for revision, _, outcome in attempts(url) if outcome == "running"]
            assert crashed in ([], [REVISIONS[len(done)]]), moment
            again = self._project.alembic("upgrade", "head", url=url, env=KEYS)
            assert again.returncode == 0, (moment, again)
            assert applied(url) == REVISIONS
            assert [attempt for attempt in attempts(url) if attempt[2] != "applied"] == [
                (revision, "upgrade", "failed") for revision in crashed
            ]
            assert schema_of(url) == stretch.fresh_head
            nothing_is_lost(stretch.before, rows.values_in(url))
            each_secret_opens_once(url, stretch.before)

    def _copy(self, kind: str, template: str | None) -> AbstractContextManager[str]:
        return database(kind, self._servers, self._folder, template)


def _project(folder: Path) -> Project:
    folder.mkdir()
    return Project(folder)


def fill(url: str) -> None:
    """Puts rows with secrets into the tables that have them: plaintext, but also nothing, and ciphertext."""
    for table in {table for table, _ in SECRETS} & set(rows.values_in(url)):
        records = [_row(table, number) for number in range(ROWS)]
        with connected(url) as connection:
            connection.execute(sa.table(table, *map(sa.column, records[0])).insert(), records)


def _row(table: str, number: int) -> dict[str, Any]:
    secrets = {column: secret(table, column, number) for of, column in SECRETS if of == table}
    if number % 100 == 1:
        secrets = {column: SECRETS[table, column][0].encrypt(text) for column, text in secrets.items() if text}
    if table == "users":
        return {"id": f"{number:032x}", "github_user_id": number, "updated_at": "2025-01-01 00:00:00"} | secrets
    return {"id": number, "name": f"n{number}", "base_url": "https://one.example", "protocol": "openai"} | secrets


def secret(table: str, column: str, number: int) -> str | None:
    """The plaintext of a row's secret."""
    return None if number % 100 == 0 else SECRETS[table, column][1].format(number)


def nothing_is_lost(before: rows.Values, after: rows.Values) -> None:
    """Every value is as it was, but for secrets and the time of the last change."""
    for table, columns in rows.common(before, after).items():
        for column, values in columns.items():
            if (table, column) not in SECRETS and column != "updated_at":
                assert after[table][column] == values, (table, column)


def each_secret_opens_once(url: str, before: rows.Values) -> None:
    """Every secret is a ciphertext of the plaintext that it was."""
    for (table, column), (cipher, _) in SECRETS.items():
        if not before.get(table, {}).get(column):
            continue
        number = "github_user_id" if table == "users" else "id"
        stored = query(url, f"SELECT {number}, {column} FROM {table}")
        opened = {key: cipher.decrypt(str(value)) if value is not None else None for key, value in stored}
        assert opened == {number: secret(table, column, number) for number in range(ROWS)}


@pytest.fixture(scope="module")
def walk(servers: Servers, tmp_path_factory: pytest.TempPathFactory, heads: Callable[[str], str]) -> Walk:
    return Walk(servers, tmp_path_factory.mktemp("kill"), heads)


@pytest.mark.parametrize(("start", "end"), STRETCHES)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_upgrade_killed_at_some_moment_is_finished_by_the_next(
    kind: str, start: str | None, end: str, walk: Walk
) -> None:
    with walk.stretch(kind, start, end) as stretch:
        for moment in random.Random(f"{kind} {end}").sample(range(1, stretch.moments + 1), SAMPLE):
            walk.kill(stretch, moment)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("start", "end"), STRETCHES)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_upgrade_killed_at_any_moment_is_finished_by_the_next(
    kind: str, start: str | None, end: str, walk: Walk, capsys: pytest.CaptureFixture[str]
) -> None:
    with walk.stretch(kind, start, end) as stretch, ThreadPoolExecutor(2) as two_at_a_time:
        killed = list(two_at_a_time.map(lambda moment: walk.kill(stretch, moment), range(1, stretch.moments + 1)))
    with capsys.disabled():
        print(f"\n{kind}, {start or 'empty'} to {end}: killed at each of {len(killed)} moments")  # noqa: T201 - asked for


@pytest.mark.parametrize("line", ["current", "history", "check"])
def test_what_a_killed_upgrade_left_of_a_large_transaction_is_no_obstacle_to_reading(
    line: str, sqlite_url: str, tmp_path: Path
) -> None:
    """SQLite's cache overflows into the file: whoever reads next has to roll that back."""
    project = Project(tmp_path, revisions=False)
    first = project.add("op.create_table('t', sa.Column('n', sa.Integer))")
    numbers = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 1000000)"
    project.add(f"op.execute('INSERT INTO t {numbers} SELECT n FROM r')\n{DIES}")
    assert project.alembic("upgrade", "head", url=sqlite_url).returncode == -signal.SIGKILL
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    assert file.with_name("gateway.db-journal").stat().st_size > 0
    done = project.alembic(line, url=sqlite_url)
    assert done.returncode == (3 if line == "check" else 0), done
    assert line != "current" or done.stdout.startswith(first)
    assert rows.values_in(sqlite_url)["t"] == {}
