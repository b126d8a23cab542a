"""`schema resolve`: after every kind of failure a true claim is written down, and a false one writes nothing."""

import json
import re
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from textwrap import indent

import pytest

from app import database_url
from app.migrations import commands
from app.migrations.drift import Claim
from app.migrations.errors import ConfigurationError, HistoryError, MigrationError, UnresolvedFailure
from app.migrations.run.ledger import Outcome
from app.migrations.run.status import State
from app.project import PROJECT
from tests.support.alembic_in_process import HEAD, downgrade, revision_of, upgrade
from tests.support.approved_texts import Approve, plain
from tests.support.command_processes import Running, start_schema
from tests.support.database_access import engine, execute, query
from tests.support.databases import ONE_A_DAY, Servers, database
from tests.support.drift_cases import ENCRYPTS
from tests.support.editable_project import EditableProject, by_hand
from tests.support.ledger_rows import attempts, holder
from tests.support.project_copy import WAITS
from tests.support.schema_in_process import schema
from tests.support.waiting import wait_until

BEFORE = "20260131000000"
NICK = 'op.add_column("users", sa.Column("nick", sa.String(50)))'
# Fails for USER, and nobody can tell before it runs.
CHECKED = (
    'op.execute("INSERT INTO users (id, github_user_id, updated_at) SELECT id, github_user_id, updated_at FROM users '
    'WHERE github_user_id = 1")\nop.create_check_constraint("users_old", "users", "github_user_id > 0")'
)
HALF = 'with op.get_context().autocommit_block():\n    op.execute("CREATE TABLE half (id INTEGER NOT NULL)")'
USER = (
    "INSERT INTO users (id, github_user_id, updated_at) "
    "VALUES ('11111111111111111111111111111111', 1, '2026-01-01 00:00:00')"
)
MENDED = "UPDATE users SET github_user_id = 2"
NEW = Callable[[str], str]
# The ways to claim and prove are the same on both databases; failure and undoing are run on both every day.
one_a_day = pytest.mark.parametrize("scene", ONE_A_DAY, indirect=True)


class Scene:
    """A database at head of the project, and a editable with further revisions and their snapshots."""

    def __init__(self, where: str, editable: EditableProject, new: NEW) -> None:
        self.editable = editable
        self.url = new(where)
        self._spare = new(where)

    def add(self, *bodies: str, extra: str = "") -> list[str]:
        """Adds revisions that work on an empty database, with their snapshots."""
        revisions = [self.editable.add(body, extra=extra) for body in bodies]
        self.editable.snap(self._spare, *revisions)
        return revisions

    def upgrade(self) -> None:
        upgrade(self.url, "head", self.editable.ini)

    def applied(self, revision: str, *, force: bool = False, reason: str = "") -> dict[str, Outcome]:
        return commands.resolve(PROJECT, Claim(revision, True, force, reason), engine(self.url)).outcomes

    def rolled_back(self, revision: str, *, force: bool = False, reason: str = "") -> dict[str, Outcome]:
        return commands.resolve(PROJECT, Claim(revision, False, force, reason), engine(self.url)).outcomes

    def books(self) -> tuple[str | None, list[tuple[object, ...]]]:
        """Version and ledger, as they stand."""
        return revision_of(self.url), query(self.url, "SELECT * FROM schema_ledger ORDER BY id")

    def refused(self, claim: Callable[[str], object], revision: str) -> str:
        """Makes a claim that doesn't hold; returns what is said, and makes sure that nothing was written."""
        before = self.books()
        with pytest.raises(UnresolvedFailure) as caught:
            claim(revision)
        assert self.books() == before
        return str(caught.value)


@pytest.fixture(params=["sqlite", "postgresql"])
def scene(
    request: pytest.FixtureRequest,
    heads: Callable[[str], str],
    servers: Servers,
    tmp_path: Path,
    editable: EditableProject,
) -> Iterator[Scene]:
    """A scene on each kind of database in turn."""
    with ExitStack() as exits:

        def new(where: str) -> str:
            return exits.enter_context(database(where, servers, tmp_path, template=heads(where)))

        yield Scene(request.param, editable, new)


@pytest.mark.exhaustive
def test_a_failure_in_a_transaction_left_nothing(scene: Scene, approve: Approve) -> None:
    (revision,) = scene.add(f"{NICK}\n{CHECKED}")
    execute(scene.url, USER)
    with pytest.raises(MigrationError):
        scene.upgrade()
    said = scene.refused(scene.applied, revision)
    assert "column users.nick: is not there" in said
    approve(f"resolve/not_applied.{scene.url.partition(':')[0].partition('+')[0]}.txt", said + "\n")
    assert scene.rolled_back(revision) == {revision: Outcome.ROLLED_BACK}
    assert scene.rolled_back(revision) == {}
    execute(scene.url, MENDED)
    scene.upgrade()
    assert commands.check(PROJECT, engine(scene.url)).drift.open == []
    assert attempts(scene.url)[-3:] == [
        (revision, "upgrade", "failed"),
        (revision, "stamp", "rolled_back"),
        (revision, "upgrade", "applied"),
    ]


@pytest.mark.exhaustive
def test_a_half_done_revision_that_was_undone_by_hand_resolves_as_rolled_back(scene: Scene) -> None:
    (revision,) = scene.add(f"{HALF}\n{CHECKED}")
    execute(scene.url, USER)
    with pytest.raises(MigrationError):
        scene.upgrade()
    with pytest.raises(UnresolvedFailure, match="resolve"):
        scene.upgrade()
    assert "table half: is there" in scene.refused(scene.rolled_back, revision)
    assert "constraint users.users_old: is not there" in scene.refused(scene.applied, revision)
    execute(scene.url, "DROP TABLE half")
    assert scene.rolled_back(revision) == {revision: Outcome.ROLLED_BACK}
    execute(scene.url, MENDED)
    scene.upgrade()
    assert commands.check(PROJECT, engine(scene.url)).drift.open == []


@pytest.mark.exhaustive
@one_a_day
def test_a_half_done_revision_that_was_completed_by_hand_resolves_as_applied(scene: Scene) -> None:
    (revision,) = scene.add(f"{HALF}\n{NICK}\n{CHECKED}")
    execute(scene.url, USER)
    with pytest.raises(MigrationError):
        scene.upgrade()
    execute(scene.url, MENDED, "ALTER TABLE users ADD COLUMN nick VARCHAR(50)")
    assert "constraint users.users_old: is not there" in scene.refused(scene.applied, revision)
    _add_check(scene.url)
    assert scene.applied(revision) == {revision: Outcome.ADOPTED}
    assert revision_of(scene.url) == revision
    scene.upgrade()
    status = commands.read_status(PROJECT, engine(scene.url))
    assert (status.code, status.revisions[-1].state) == ("ok", State.APPLIED)
    assert commands.check(PROJECT, engine(scene.url)).drift.open == []


@pytest.mark.exhaustive
@one_a_day
def test_a_killed_revision_is_resolved_by_what_it_left(scene: Scene) -> None:
    (revision,) = scene.add(HALF)
    file = scene.editable.file(revision)
    # It is rehearsed first, and must not wait there.
    waits = 'if sa.inspect(op.get_bind()).has_table("half"):\n' + indent(WAITS, "    ")
    file.write_text(file.read_text().replace("def downgrade", f"{indent(waits, '    ')}\ndef downgrade", 1))
    folder = scene.editable.folder
    environment = {"DATABASE_URL": scene.url, "GATEWAY_SCHEMA_ENV_FILE": ""}
    running = Running("alembic", ("upgrade", "head"), environment, folder)
    wait_until((folder / "begun").exists)
    running.send(signal.SIGKILL)
    running.wait()
    wait_until(lambda: holder(scene.url) is None)
    assert commands.read_status(PROJECT, engine(scene.url)).revisions[-1].state is State.CRASHED
    assert "table half: is there" in scene.refused(scene.rolled_back, revision)
    assert scene.applied(revision) == {revision: Outcome.ADOPTED}
    assert attempts(scene.url)[-2:] == [(revision, "upgrade", "failed"), (revision, "stamp", "adopted")]
    assert commands.read_status(PROJECT, engine(scene.url)).code == "ok"


@pytest.mark.exhaustive
def test_a_revision_that_was_done_by_hand_resolves_as_applied(scene: Scene) -> None:
    first, second = scene.add(NICK, HALF)
    assert "is not there" in scene.refused(scene.applied, second)
    execute(scene.url, "ALTER TABLE users ADD COLUMN nick VARCHAR(50)", "CREATE TABLE half (id INTEGER NOT NULL)")
    assert scene.applied(second) == {first: Outcome.ADOPTED, second: Outcome.ADOPTED}
    assert scene.applied(second) == {}
    assert commands.read_status(PROJECT, engine(scene.url)).code == "ok"


@pytest.mark.exhaustive
@one_a_day
def test_tables_from_a_backup_older_than_the_version(scene: Scene) -> None:
    first, second = scene.add(NICK, HALF)
    scene.upgrade()
    execute(scene.url, "ALTER TABLE users DROP COLUMN nick", "DROP TABLE half")
    assert "column users.nick: is not there" in scene.refused(scene.rolled_back, second)
    assert scene.rolled_back(first) == {second: Outcome.ROLLED_BACK, first: Outcome.ROLLED_BACK}
    assert revision_of(scene.url) == HEAD
    scene.upgrade()
    assert commands.check(PROJECT, engine(scene.url)).drift.open == []


@pytest.mark.exhaustive
@one_a_day
def test_a_version_from_a_backup_older_than_the_tables(scene: Scene) -> None:
    first, second = scene.add(NICK, HALF)
    scene.upgrade()
    execute(scene.url, f"UPDATE alembic_version SET version_num = '{HEAD}'")
    assert scene.refused(scene.applied, first)
    assert scene.applied(second) == {first: Outcome.ADOPTED, second: Outcome.ADOPTED}
    assert commands.read_status(PROJECT, engine(scene.url)).code == "ok"


def test_a_data_revision_is_asked_itself(scene: Scene) -> None:
    provider = "INSERT INTO service_providers (id, name, base_url, protocol, api_key) VALUES (1, 'a', 'b', 'c', 'sk-1')"
    downgrade(scene.url, ENCRYPTS, scene.editable.ini)
    execute(scene.url, provider, f"UPDATE alembic_version SET version_num = '{BEFORE}'")
    assert f"revision {ENCRYPTS}: rows still to do is 1, should be 0" in scene.refused(scene.applied, ENCRYPTS)
    execute(scene.url, "DELETE FROM service_providers")
    assert scene.applied(ENCRYPTS) == {ENCRYPTS: Outcome.ADOPTED}


@pytest.mark.exhaustive
@one_a_day
def test_a_claim_about_a_revision_without_a_trace_needs_force(scene: Scene) -> None:
    (revision,) = scene.add('op.execute("UPDATE users SET is_whitelisted = false WHERE is_whitelisted")')
    assert "nothing tells whether it has run" in scene.refused(scene.applied, revision)
    assert scene.applied(revision, force=True, reason="run by hand") == {revision: Outcome.SKIPPED}


@pytest.mark.exhaustive
@one_a_day
def test_a_revision_is_skipped_by_force_with_a_reason(scene: Scene) -> None:
    first, _ = scene.add(NICK, HALF)
    with pytest.raises(ConfigurationError, match="reason"):
        scene.applied(first, force=True)
    assert scene.applied(first, force=True, reason="it locks users for too long") == {first: Outcome.SKIPPED}
    scene.upgrade()
    status = commands.read_status(PROJECT, engine(scene.url))
    assert [revision.state for revision in status.revisions[-2:]] == [State.SKIPPED, State.APPLIED]
    assert status.revisions[-2].entry is not None
    assert status.revisions[-2].entry.reason == "it locks users for too long"
    (missing,) = commands.check(PROJECT, engine(scene.url)).drift.open
    assert missing.name == "column users.nick"
    execute(scene.url, "ALTER TABLE users ADD COLUMN nick VARCHAR(50)")
    assert scene.applied(first) == {first: Outcome.ADOPTED}
    assert commands.read_status(PROJECT, engine(scene.url)).revisions[-2].state is State.APPLIED


@pytest.mark.exhaustive
@one_a_day
def test_a_rollback_is_believed_with_a_reason(scene: Scene) -> None:
    (revision,) = scene.add(f"{HALF}\n{CHECKED}")
    execute(scene.url, USER)
    with pytest.raises(MigrationError):
        scene.upgrade()
    assert scene.rolled_back(revision, force=True, reason="half stays") == {revision: Outcome.ROLLED_BACK}
    assert revision_of(scene.url) == HEAD


@pytest.mark.exhaustive
@one_a_day
def test_an_edit_that_changes_nothing_is_taken_over(scene: Scene) -> None:
    (revision,) = scene.add(NICK)
    scene.upgrade()
    file = scene.editable.file(revision)
    file.write_text(file.read_text().replace('"nick", sa.String(50)', '"nick", sa.VARCHAR(50)'))
    with pytest.raises(HistoryError, match="edited"):
        scene.upgrade()
    execute(scene.url, "DROP INDEX idx_request_logs_time")
    assert "idx_request_logs_time" in scene.refused(scene.applied, revision)
    execute(scene.url, "CREATE INDEX idx_request_logs_time ON request_logs (request_time)")
    assert scene.applied(revision) == {revision: Outcome.ADOPTED}
    scene.upgrade()


@pytest.mark.exhaustive
@one_a_day
def test_an_unknown_revision_and_one_that_isnt_next_are_refused(scene: Scene) -> None:
    _, second = scene.add(NICK, HALF)
    before = scene.books()
    for revision, claim in (("20200101000000", scene.applied), (second, scene.rolled_back)):
        with pytest.raises(HistoryError):
            claim(revision)
    assert scene.rolled_back(HEAD, force=True, reason="no") == {HEAD: Outcome.ROLLED_BACK}
    assert scene.applied(HEAD) == {HEAD: Outcome.ADOPTED}
    assert revision_of(scene.url) == before[0]


@pytest.mark.exhaustive
@one_a_day
def test_concurrent_claims_are_written_once(scene: Scene) -> None:
    (revision,) = scene.add(f"{HALF}\n{CHECKED}")
    execute(scene.url, USER)
    with pytest.raises(MigrationError):
        scene.upgrade()
    execute(scene.url, MENDED)
    _add_check(scene.url)
    flags = ["--applied", "--rolled-back", "--applied"]
    variables = {"DATABASE_URL": scene.url, "ALEMBIC_CONFIG": str(scene.editable.ini)}
    started = [start_schema("resolve", revision, flag, "--json", **variables) for flag in flags]
    ended = [process.wait() for process in started]
    assert [done.returncode for done in ended] == [0, 4, 0], ended
    written = [json.loads(done.stdout)["outcomes"] for done in ended if not done.returncode]
    assert sorted(written, key=len) == [{}, {revision: "adopted"}]
    assert attempts(scene.url)[-2:] == [(revision, "upgrade", "failed"), (revision, "stamp", "adopted")]


@pytest.mark.exhaustive
@one_a_day
def test_a_failed_a_manual_and_a_broken_revision_are_resolved_in_turn(scene: Scene, approve: Approve) -> None:
    """Prisma's: a failure is marked rolled back, fixed, applied; a manual fix marked applied; a broken one skipped."""
    first, second, third = scene.add(f"{HALF}\n{CHECKED}", NICK, 'op.add_column("users", sa.Column("bio", sa.Text))')
    third_file = scene.editable.file(third)
    third_file.write_text(third_file.read_text().replace('"bio"', '"nick"'))  # broken: the column is there already
    execute(scene.url, USER)
    transcript: list[str] = []

    def run(*args: str) -> None:
        done = schema(*args, DATABASE_URL=scene.url, ALEMBIC_CONFIG=str(scene.editable.ini))
        transcript.append(f"$ schema {shlex.join(args)}\n{done.stdout}{done.stderr}({done.returncode})\n")

    run("deploy")
    run("deploy")
    run("resolve", first, "--rolled-back")
    execute(scene.url, "DROP TABLE half", MENDED)
    run("resolve", first, "--rolled-back")
    execute(scene.url, "ALTER TABLE users ADD COLUMN nick VARCHAR(50)")
    run("deploy")
    run("resolve", second, "--applied")
    run("deploy")
    run("resolve", third, "--applied")
    run("resolve", third, "--applied", "--force", "--reason", "broken, see #12")
    run("status")
    text = plain("\n".join(transcript), scene.url, Path(scene.url.removeprefix("sqlite:///")).parent)
    text = re.sub(r"\d+\.\d\d s", "N s", text)
    approve(f"resolve/walk_through.{scene.url.partition(':')[0].partition('+')[0]}.txt", text)
    assert revision_of(scene.url) == third


def test_a_false_claim_makes_no_database(sqlite_url: str) -> None:
    for applied in (True, False):
        with pytest.raises(MigrationError, match="There is no database yet"):
            commands.resolve(PROJECT, Claim(BEFORE, applied), engine(sqlite_url))
    assert not list(Path(sqlite_url.removeprefix("sqlite:///")).parent.iterdir())


def _add_check(url: str) -> None:
    check = "CONSTRAINT users_old CHECK (github_user_id > 0)"
    if database_url.parse(url).get_backend_name() == "sqlite":
        by_hand(url, f"users | CONSTRAINT users_pkey | {check}, CONSTRAINT users_pkey")
    else:
        by_hand(url, f"ALTER TABLE users ADD {check}")


@pytest.mark.parametrize("change", ["outcome = 'quarantined'", "direction = 'repair'"])
@one_a_day
def test_what_newer_code_left_open_is_proved(scene: Scene, change: str) -> None:
    execute(scene.url, f"UPDATE schema_ledger SET {change} WHERE revision = '{HEAD}'")
    assert scene.applied(HEAD) == {HEAD: Outcome.ADOPTED}
    assert scene.applied(HEAD) == {}
