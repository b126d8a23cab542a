"""`schema status`: the truth about a database, whatever has become of it, and nothing written to find it out."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from app import db
from app.cli import texts
from app.migrations import commands
from app.migrations.errors import ConfigurationError, HistoryError, MigrationError, UnresolvedFailure
from app.migrations.line import read_line
from app.migrations.project import _attempts
from app.migrations.run.ledger import Ledger, Outcome
from app.migrations.run.status import State, Status
from app.migrations.session import Direction
from app.project import PROJECT
from tests.support.alembic_in_process import REVISIONS
from tests.support.approved_texts import Approve, plain
from tests.support.database_access import execute
from tests.support.ledger_rows import holder
from tests.support.project_copy import DIES, WAITS_UNREHEARSED, ProjectCopy
from tests.support.schema_in_process import schema
from tests.support.waiting import wait_until

TABLE = "op.create_table('t', sa.Column('n', sa.Integer))"
HALF = (
    "with op.get_context().autocommit_block():\n"
    "    op.execute('CREATE TABLE half (n integer)')\n"
    "    op.execute('SELECT n FROM nowhere')"
)
Scene = Callable[[ProjectCopy, str], object]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectCopy:
    """A history of a test's own, which our commands use, and whose first revision makes a table."""
    folder = tmp_path / "project"
    folder.mkdir()
    made = ProjectCopy(folder, revisions=False)
    made.add(TABLE, "op.drop_table('t')")
    monkeypatch.setenv("ALEMBIC_CONFIG", str(made.ini))
    return made


def read(url: str) -> Status:
    return commands.read_status(PROJECT, db.migration_engine(url, read_only=True))


def shown(found: Status) -> str:
    """What is printed, without what differs from run to run."""
    text = re.sub(r"^Database .*", "Database  …", plain(texts.status(found, history=True).text))
    return f"{re.sub(r'[0-9]+[.][0-9][0-9] s', 'N s', text)}\n(exit code {found.exit_code}, {found.code})\n"


def upgraded(project: ProjectCopy, url: str) -> None:
    project.upgrade(url)


def failed(project: ProjectCopy, url: str) -> None:
    upgraded(project, url)
    project.add("raise ValueError('no')")
    project.add("pass")
    with pytest.raises(MigrationError):
        project.upgrade(url)


def crashed(project: ProjectCopy, url: str) -> None:
    upgraded(project, url)
    project.add(DIES)
    assert project.process("upgrade", "head", url=url).returncode == -signal.SIGKILL
    wait_until(lambda: holder(url) is None)


def crashed_downgrade(project: ProjectCopy, url: str) -> None:
    accept = f"accept-data-loss={project.add('pass', DIES)}"
    upgraded(project, url)
    assert project.process("-x", accept, "downgrade", "-1", url=url).returncode == -signal.SIGKILL
    wait_until(lambda: holder(url) is None)


def half_done(project: ProjectCopy, url: str) -> None:
    project.add(HALF)
    with pytest.raises(MigrationError):
        project.upgrade(url)


def half_done_downgrade(project: ProjectCopy, url: str) -> None:
    project.add("pass", HALF)
    upgraded(project, url)
    with pytest.raises(MigrationError):
        project.downgrade(url)


def before_the_ledger(project: ProjectCopy, url: str) -> None:
    upgraded(project, url)
    execute(url, "DROP TABLE schema_ledger")


def edited(project: ProjectCopy, url: str) -> None:
    upgraded(project, url)
    (file,) = project.versions.glob("*.py")
    file.write_text(file.read_text(encoding="utf-8").replace("'n'", "'m'"), encoding="utf-8")


def ahead(project: ProjectCopy, url: str) -> None:
    newer = project.add("pass")
    assert project.alembic("upgrade", "head", url=url).returncode == 0  # from code of a known version
    project.file(newer).unlink()


def two_heads(project: ProjectCopy, url: str) -> None:
    upgraded(project, url)
    (first,) = project.versions.glob("*.py")
    text = first.read_text(encoding="utf-8")
    for name in ("ours", "theirs"):
        changed = re.sub('revision = ".*"\n.*', f'revision = "{name}"\ndown_revision = "{first.stem}"', text, count=1)
        first.with_name(f"{name}.py").write_text(changed, encoding="utf-8")


def no_history(_project: ProjectCopy, url: str) -> None:
    execute(url, "CREATE TABLE users (n integer)", "CREATE TABLE a_guest (n integer)")


def reverted(project: ProjectCopy, url: str) -> None:
    upgraded(project, url)
    project.downgrade(url)


SCENES: list[Scene] = [
    upgraded,
    failed,
    crashed,
    crashed_downgrade,
    half_done,
    half_done_downgrade,
    before_the_ledger,
    edited,
    ahead,
    two_heads,
    no_history,
    reverted,
]


@pytest.mark.in_turn
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_status_describes_each_scene(scene: Scene, project: ProjectCopy, url: str, approve: Approve) -> None:
    scene(project, url)
    kind = f".{sa.make_url(url).get_backend_name()}" if scene in (half_done, half_done_downgrade) else ""
    approve(f"status/{scene.__name__}{kind}.txt", shown(read(url)))


@pytest.mark.parametrize(
    "scene",
    [edited, ahead, two_heads, no_history, half_done, half_done_downgrade],
    ids=lambda scene: scene.__name__,
)
def test_a_problem_is_what_an_upgrade_refuses_with(scene: Scene, project: ProjectCopy, sqlite_url: str) -> None:
    scene(project, sqlite_url)
    (problem,) = read(sqlite_url).problems
    with pytest.raises(type(problem)) as caught:
        project.upgrade(sqlite_url)
    assert str(caught.value) == str(problem)


def test_a_half_done_downgrade_is_in_the_json_and_ends_with_4(project: ProjectCopy, url: str) -> None:
    half_done_downgrade(project, url)
    done = schema("status", "--json", "--exit-code", DATABASE_URL=url, ALEMBIC_CONFIG=str(project.ini))
    values = json.loads(done.stdout)
    assert (done.returncode, values["code"]) == (4, "failed")
    last = values["revisions"][-1]
    assert (last["state"], last["applied"], last["unresolved"]) == ("failed", True, True)
    assert (
        f"schema resolve {last['revision']} --rolled-back (nothing of it is left)" in values["problems"][0]["message"]
    )


LATER = ["pass", "op.create_table('later', sa.Column('n', sa.Integer))", HALF.replace("half", "later")]


@pytest.mark.in_turn
@pytest.mark.parametrize("later", LATER, ids=["nothing", "a table", "outside"])
def test_no_revision_runs_on_what_a_half_done_downgrade_left(project: ProjectCopy, later: str, url: str) -> None:
    half_done_downgrade(project, url)
    before = [entry.outcome for entry in read(url).entries]
    project.add(later)
    with pytest.raises(UnresolvedFailure, match="The downgrade of "):
        project.upgrade(url)
    assert [entry.outcome for entry in read(url).entries] == before


def test_a_downgrade_that_failed_in_its_transaction_left_all_in_order(project: ProjectCopy, url: str) -> None:
    project.add("pass", "raise ValueError")
    upgraded(project, url)
    with pytest.raises(MigrationError):
        project.downgrade(url)
    assert (read(url).exit_code, {revision.state for revision in read(url).revisions}) == (0, {State.APPLIED})


def test_a_stamp_is_the_last_word_on_a_half_done_downgrade(project: ProjectCopy, url: str) -> None:
    half_done_downgrade(project, url)
    for revision in ("base", str(read(url).head)):
        assert project.alembic("stamp", revision, url=url).returncode == 0
    project.upgrade(url)
    assert read(url).exit_code == 0


@pytest.mark.exhaustive
def test_a_revision_at_work_is_running_until_its_run_is_gone(project: ProjectCopy, url: str, approve: Approve) -> None:
    project.add(WAITS_UNREHEARSED)
    running = project.start("upgrade", "head", url=url)
    wait_until((project.folder / "begun").exists)
    found = read(url)
    assert found.holder is not None
    assert f"pid {running.pid}" in str(found.holder)
    approve(f"status/running.{sa.make_url(url).get_backend_name()}.txt", shown(found))
    (project.folder / "go").touch()
    assert running.wait().returncode == 0
    assert (read(url).holder, read(url).code) == (None, "ok")
    assert {revision.state for revision in read(url).revisions} == {State.APPLIED}


@pytest.mark.parametrize("line", ["status", "deploy --dry-run", "deploy --sql"])
def test_looking_makes_no_file(line: str, sqlite_url: str) -> None:
    done = schema(*line.split(), DATABASE_URL=sqlite_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(Path(sqlite_url.removeprefix("sqlite:///")).parent.iterdir()) == []


def test_looking_makes_no_table(postgres_url: str) -> None:
    engine = db.migration_engine(postgres_url)
    assert commands.read_status(PROJECT, engine).code == "pending"
    assert commands.deploy(PROJECT, engine, dry_run=True).applied == REVISIONS
    assert commands.script(PROJECT, engine)
    with engine.connect() as connection:
        assert sa.inspect(connection).get_table_names() == []


@pytest.mark.exhaustive
def test_json_has_all_of_it(head_url: str) -> None:
    done = schema("status", "--json", "--exit-code", DATABASE_URL=head_url)
    values = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (values["code"], values["at"], values["head"]) == ("ok", [REVISIONS[-1]], REVISIONS[-1])
    assert [(each["revision"], each["state"], each["applied"]) for each in values["revisions"]] == [
        (revision, "applied", True) for revision in REVISIONS
    ]
    assert [(entry["revision"], entry["outcome"]) for entry in values["history"]] == [
        (revision, "applied") for revision in REVISIONS
    ]
    started = {entry["started_at"] for entry in values["history"]}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text) for text in started), started


def test_the_exit_code_is_asked_for(sqlite_url: str) -> None:
    done = schema("status", "--exit-code", DATABASE_URL=sqlite_url)
    assert done.returncode == 3
    assert f"At        no revision\nPending   {len(REVISIONS)}\n" in done.stdout


@pytest.mark.parametrize("line", ["status", "deploy"])
def test_a_history_that_cant_be_read_is_told_in_one_line(line: str, project: ProjectCopy, sqlite_url: str) -> None:
    (project.versions / "broken.py").write_text("def upgrade(:\n", encoding="utf-8")
    said = "The history can't be read: broken.py line 1: SyntaxError: invalid syntax."
    done = schema(*line.split(), "--json", DATABASE_URL=sqlite_url, ALEMBIC_CONFIG=str(project.ini))
    assert (done.returncode, done.stderr) == (5, f"FAILED: {said}\n")
    assert json.loads(done.stdout) == {"code": "history", "message": said}
    assert list(Path(sqlite_url.removeprefix("sqlite:///")).parent.iterdir()) == []


def test_a_configuration_that_isnt_there(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALEMBIC_CONFIG", str(tmp_path / "nowhere.ini"))
    with pytest.raises(ConfigurationError, match="script_location"):
        read(sqlite_url)


# --- rows that newer code wrote ---------------------------------------------------------------------------------------

NEWER = {
    "an outcome": ("outcome = 'quarantined'", "quarantined"),
    "another": ("outcome = 'half_applied'", "half_applied"),
    "a direction": ("direction = 'repair'", "repair"),
    "both": ("outcome = 'parked', direction = 'repair'", "repair, parked"),
    "our word for it": ("outcome = 'unknown'", "unknown"),
}
newer = pytest.mark.parametrize(("change", "word"), NEWER.values(), ids=NEWER)


@pytest.mark.in_turn
@newer
def test_a_row_of_newer_code_is_read_and_named(project: ProjectCopy, change: str, word: str, url: str) -> None:
    upgraded(project, url)
    execute(url, f"UPDATE schema_ledger SET {change}")
    found = read(url)
    first = found.revisions[0].revision
    assert (found.code, found.at, [revision.state for revision in found.revisions]) == ("ok", [first], [State.APPLIED])
    said = f"Newer code wrote rows of the ledger that this code can't judge, and leaves aside: {word} of {first}."
    assert found.notes == [said]
    assert f"{word:<11}" in texts.status(found, history=True).text
    with db.migration_engine(url).connect() as connection:
        assert read_line(project.versions).lacks(found.at, _attempts(connection)) == []  # as `is_current` asks
    for line, code in (
        ("current", 0),
        ("upgrade head", 0),
        ("downgrade base", 5),
    ):  # the version table says where it is
        done = project.alembic(*line.split(), url=url)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr


@pytest.mark.in_turn
@newer
def test_a_revision_that_newer_code_was_last_at_waits_for_a_word(
    project: ProjectCopy, change: str, word: str, url: str
) -> None:
    failed(project, url)
    revision = read(url).revisions[1].revision
    execute(url, f"UPDATE schema_ledger SET {change} WHERE revision = '{revision}'")
    status = read(url)
    assert ([problem.exit_code for problem in status.problems], len(status.pending)) == ([5], 2)
    with pytest.raises(HistoryError, match=f"has written '{word}' for the revision {revision} into the ledger"):
        project.upgrade(url)
    assert [entry.newer for entry in read(url).entries] == [None, word]
    file = project.file(revision)
    file.write_text(file.read_text(encoding="utf-8").replace("raise ValueError('no')", "pass"), encoding="utf-8")
    with db.migration_engine(url).begin() as connection:  # as `schema resolve` does, once it is proved
        Ledger(connection).record(revision, Direction.STAMP, Outcome.ROLLED_BACK, None, "by hand")
    project.upgrade(url)
    assert read(url).code == "ok"


@pytest.mark.in_turn
@pytest.mark.parametrize("change", ["outcome = ''", "outcome = 'ODD'", "direction = 'up, down'", "outcome = '1'"])
def test_a_row_that_no_code_wrote_is_told_in_one_line(project: ProjectCopy, change: str, url: str) -> None:
    upgraded(project, url)
    execute(url, f"UPDATE schema_ledger SET {change}")
    with pytest.raises(MigrationError, match="has a row that can't be read"):
        read(url)
