"""SIGKILL between any two statements of an upgrade: the next one finishes, and nothing is lost or encrypted twice."""

import random
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app import db, settings
from app.encryption import FieldCipher
from app.migrations import commands
from app.migrations.run.status import State
from app.project import PROJECT
from tests.support import sample_rows
from tests.support.alembic_in_process import HEAD, REVISIONS, upgrade
from tests.support.database_access import connected, query
from tests.support.databases import KINDS, Servers, database
from tests.support.known_keys import ENC_CIPHER, KEY, PASSPHRASE, TOKEN_CIPHER, one_by_one
from tests.support.ledger_rows import applied, attempts, holder
from tests.support.project_copy import DIES, ProjectCopy
from tests.support.schema_dump import Schema, schema_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.exhaustive

SAMPLE = 2
ROWS = 1200  # three pages of a backfill
FEW_ROWS = 30
KEYS = {"ENCRYPTION_KEY": KEY, "GITHUB_TOKEN_ENCRYPTION_KEY": PASSPHRASE}
SECRETS: dict[tuple[str, str], tuple[FieldCipher, str]] = {
    ("users", "github_access_token"): (TOKEN_CIPHER, "gho_{}"),
    ("users", "github_refresh_token"): (TOKEN_CIPHER, "ghr_{}"),
    ("service_providers", "api_key"): (ENC_CIPHER, "sk-{}"),
}
# The revisions that encrypt them.
ENCRYPTED_BY = {"users": "20251213000000", "service_providers": "20260228000000"}
# From where to where: each data revision with rows to change.
STRETCHES = [
    (None, "20251212003212"),
    ("20251212003212", "20251213000000"),
    ("20251213000000", "20260131000000"),
    ("20260131000000", "20260228000000"),
]
# The rest of the history has many revisions that only add. Two of it are killed at any moment: one that builds indexes
# beside the writers, and one that copies a table on SQLite.
REST, OUTSIDE = ("20260228000000", HEAD), ("20260402090000", "20260425090000")
# Moments: before a transaction begins, and after each statement on whatever connection. Pages keep their size, so that
# one run has as many moments as another.
KILL = """
import os, pathlib, signal
import sqlalchemy
from app.backfill import pacing
pacing.Pace.wrote = lambda *_: None
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
    before: sample_rows.Values
    schema: Schema
    moments: int


class Walk:
    """Kills upgrades of copies of a database."""

    def __init__(self, servers: Servers, folder: Path, stops: Callable[[str, str], str | None]) -> None:
        self._servers = servers
        self._folder = folder
        self._stops = stops
        self._killed = _project(folder / "killed")
        self._killed.hook(KILL)

    @contextmanager
    def stretch(self, kind: str, start: str | None, end: str) -> Iterator[Stretch]:
        """Prepares a database at `start`, and counts the moments on the way to `end`."""
        with self._copy(kind, self._stops(kind, start or "base")) as url:
            if start is not None:
                fill(url, start)
            template = url if start is not None else None
            with self._copy(kind, template) as copy:
                assert self._killed.process("upgrade", end, url=copy, env=KEYS).returncode == 0
            moments = int((self._killed.folder / "moments").read_text(encoding="ascii"))
            yield Stretch(
                kind, end, template, sample_rows.values_in(url), schema_of(str(self._stops(kind, end))), moments
            )

    def kill(self, stretch: Stretch, moment: int) -> None:
        """Kills an upgrade at a moment, and looks at what is left and at what the next one makes of it."""
        with self._copy(stretch.kind, stretch.template) as url:
            env = KEYS | {"KILL_AT": str(moment)}
            # On PostgreSQL a slow run is looked at from another connection: without it the last moment doesn't come.
            assert self._killed.process("upgrade", stretch.end, url=url, env=env).returncode in (-signal.SIGKILL, 0)
            wait_until(lambda: holder(url) is None)
            told = commands.read_status(PROJECT, db.migration_engine(url, read_only=True))
            done = applied(url)
            assert done == REVISIONS[: len(done)]
            crashed = [revision for revision, _, outcome in attempts(url) if outcome == "running"]
            assert crashed in ([], REVISIONS[len(done) : len(done) + 1]), moment
            assert (told.at, told.holder, told.problems) == (done[-1:], None, []), moment
            assert [revision.revision for revision in told.pending] == REVISIONS[len(done) :]
            assert [revision.revision for revision in told.revisions if revision.state is State.CRASHED] == crashed
            upgrade(url, stretch.end)
            assert applied(url) == REVISIONS[: REVISIONS.index(stretch.end) + 1]
            assert [attempt for attempt in attempts(url) if attempt[2] != "applied"] == [
                (revision, "upgrade", "failed") for revision in crashed
            ]
            assert schema_of(url) == stretch.schema
            nothing_is_lost(stretch.before, sample_rows.values_in(url))
            each_secret_opens_once(url, stretch.end)

    def _copy(self, kind: str, template: str | None) -> AbstractContextManager[str]:
        return database(kind, self._servers, self._folder, template)


def _project(folder: Path, *, revisions: bool = True) -> ProjectCopy:
    folder.mkdir()
    return ProjectCopy(folder, revisions=revisions)


def fill(url: str, revision: str) -> None:
    """Puts rows with secrets into the tables that have them: nothing, ciphertext, and plaintext if that is allowed."""
    seals = {place: one_by_one(cipher) for place, (cipher, _) in SECRETS.items()}
    for table in {table for table, _ in SECRETS} & set(sample_rows.values_in(url)):
        sealed = ENCRYPTED_BY[table] <= revision
        records = [_row(table, number, seals, sealed=sealed) for number in range(FEW_ROWS if sealed else ROWS)]
        with connected(url) as connection:
            connection.execute(sa.table(table, *map(sa.column, records[0])).insert(), records)


def _row(
    table: str, number: int, seals: Mapping[tuple[str, str], Callable[[str], object]], *, sealed: bool
) -> dict[str, Any]:
    secrets = {column: secret(table, column, number) for of, column in SECRETS if of == table}
    if sealed or number % 100 == 1:
        secrets = {column: text and str(seals[table, column](text)) for column, text in secrets.items()}
    if table == "users":
        return {"id": f"{number:032x}", "github_user_id": number, "updated_at": "2025-01-01 00:00:00"} | secrets
    return {"id": number, "name": f"n{number}", "base_url": "https://one.example", "protocol": "openai"} | secrets


def secret(table: str, column: str, number: int) -> str | None:
    """The plaintext of a row's secret."""
    return None if number % 100 == 0 else SECRETS[table, column][1].format(number)


def nothing_is_lost(before: sample_rows.Values, after: sample_rows.Values) -> None:
    """Every value is as it was, but for secrets and the time of the last change."""
    for table, columns in sample_rows.common(before, after).items():
        for column, values in columns.items():
            if (table, column) not in SECRETS and column != "updated_at":
                assert after[table][column] == values, (table, column)


def each_secret_opens_once(url: str, revision: str) -> None:
    """Every secret is a ciphertext of the plaintext that it was, once the revision that encrypts it has run."""
    for (table, column), (cipher, _) in SECRETS.items():
        if ENCRYPTED_BY[table] <= revision:
            number = "github_user_id" if table == "users" else "id"
            stored = query(url, f"SELECT {number}, {column} FROM {table}")
            opened = {key: cipher.open(str(value)).plaintext if value is not None else None for key, value in stored}
            assert opened == {number: secret(table, column, number) for number in range(len(stored))}


@pytest.fixture(scope="module")
def walk(
    servers: Servers,
    tmp_path_factory: pytest.TempPathFactory,
    stops: Callable[[str, str], str | None],
) -> Walk:
    return Walk(servers, tmp_path_factory.mktemp("kill"), stops)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The upgrades of this process, which finish what a killed one began, have the keys too."""
    monkeypatch.setenv("ENCRYPTION_KEY", KEY)
    monkeypatch.setenv("GITHUB_TOKEN_ENCRYPTION_KEY", PASSPHRASE)
    settings.load.cache_clear()
    yield
    settings.load.cache_clear()


@pytest.mark.parametrize(
    ("kind", "start", "end"),
    [(kind, *stretch) for kind, stretch in zip(KINDS * 3, [*STRETCHES, REST, REST], strict=True)],
)
def test_an_upgrade_killed_at_some_moment_is_finished_by_the_next(
    kind: str, start: str | None, end: str, walk: Walk
) -> None:
    with walk.stretch(kind, start, end) as stretch:
        for moment in random.Random(f"{kind} {end}").sample(range(1, stretch.moments + 1), SAMPLE):
            walk.kill(stretch, moment)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("start", "end"), [*STRETCHES, OUTSIDE])
@pytest.mark.parametrize("kind", KINDS)
def test_an_upgrade_killed_at_any_moment_is_finished_by_the_next(
    kind: str,
    start: str | None,
    end: str,
    walk: Walk,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    # A transaction of SQLite has many statements where tables are copied, and a kill between two of them leaves the
    # same file behind, whichever they are.
    step = 3 if kind == "sqlite" and not pytestconfig.getoption("--every") else 1
    with walk.stretch(kind, start, end) as stretch:
        for moment in range(1, stretch.moments + 1, step):
            walk.kill(stretch, moment)
    record_property("moments", f"{kind}, {start or 'empty'} to {end}: {stretch.moments} moments, killed at 1 of {step}")


def test_a_database_is_readable_after_an_upgrade_was_killed_in_a_large_transaction(
    sqlite_url: str, tmp_path: Path
) -> None:
    """SQLite's cache overflows into the file: whoever reads next has to roll that back."""
    project = _project(tmp_path / "project", revisions=False)
    first = project.add("op.create_table('t', sa.Column('n', sa.Integer))")
    numbers = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 1000000)"
    project.add(f"op.execute('INSERT INTO t {numbers} SELECT n FROM r')\n{DIES}")
    assert project.process("upgrade", "head", url=sqlite_url).returncode == -signal.SIGKILL
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    assert file.with_name("gateway.db-journal").stat().st_size > 0
    for line in ("current", "history", "check", "status"):
        url = f"sqlite:///{shutil.copytree(file.parent, tmp_path / line) / file.name}"
        if line == "status":
            assert commands.read_status(PROJECT, db.migration_engine(url, read_only=True)).at == [first]
        else:
            done = project.process(line, url=url)
            assert done.returncode == (3 if line == "check" else 0), done
            assert line != "current" or done.stdout.startswith(first)
        assert sample_rows.values_in(url)["t"] == {}
