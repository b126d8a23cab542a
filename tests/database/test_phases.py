"""Phases: how far an upgrade runs before the release, and what the application makes of it; whole lines."""

import json
import re
from dataclasses import replace

import pytest

from app import database_url
from app.migrations import commands
from app.migrations.checksums import checksum
from app.migrations.errors import HistoryError
from app.migrations.phases import Phase
from app.migrations.releases import Release, read_release
from app.project import PROJECT
from tests.support import sample_rows
from tests.support.alembic_in_process import (
    HEAD,
    REVISIONS,
    command_line,
    downgrade,
    revision_of,
    upgrade,
    upgrade_script,
)
from tests.support.approved_texts import Approve, plain
from tests.support.command_processes import Done, Running
from tests.support.database_access import engine, execute
from tests.support.editable_project import EditableProject
from tests.support.environment import variables
from tests.support.ledger_rows import attempts
from tests.support.schema_in_process import schema

pytestmark = pytest.mark.in_turn

EXPAND, MIGRATE, CONTRACT, UNPHASED, EXPAND_AGAIN = (str(int(HEAD) + number) for number in range(1, 6))
BEFORE = ["-x", "phase=expand", "upgrade"]


@pytest.fixture
def change(editable: EditableProject) -> EditableProject:
    """A change of three phases after the project's head; the models are as before it."""
    editable.add("op.add_column('users', sa.Column('nick', sa.Text))", extra='phase = "expand"')
    editable.add("op.execute(\"UPDATE users SET nick = 'none' WHERE nick IS NULL\")", extra='phase = "migrate"')
    editable.add("op.drop_column('users', 'nick')", extra='phase = "contract"')
    return editable


def behind(change: EditableProject) -> None:
    """Adds a revision without a phase, and the expansion of the next change."""
    change.add("pass")
    change.add("pass", extra='phase: str = "expand"')


def alembic(change: EditableProject, url: str, *args: str) -> Done:
    return command_line(*args, env=variables(url), folder=change.folder)


def deploy(change: EditableProject, url: str, *args: str) -> Done:
    return schema("deploy", *args, DATABASE_URL=url, ALEMBIC_CONFIG=str(change.ini))


# --- alembic ------------------------------------------------------------------


def test_each_phase_runs_up_to_the_next_and_says_what_runs_the_others(
    head_url: str, change: EditableProject, approve: Approve
) -> None:
    behind(change)
    said = []
    for words, end in (
        ("-x phase=expand upgrade head", EXPAND),
        ("-x phase=expand upgrade head", EXPAND),
        ("-x phase=migrate upgrade head", MIGRATE),
        ("-x phase=migrate upgrade +2", MIGRATE),
        (f"-x phase=migrate upgrade {UNPHASED}", MIGRATE),
        ("-x phase=contract upgrade +1", CONTRACT),
        ("-x phase=expand upgrade head", EXPAND_AGAIN),
        ("-x phase=expand upgrade head", EXPAND_AGAIN),
    ):
        done = alembic(change, head_url, *words.split())
        assert (done.returncode, done.stdout, revision_of(head_url)) == (0, "", end), done
        said.append(f"$ alembic {words}\n{plain(done.stderr)}")
    approve("phases/alembic.txt", "".join(said))


def test_without_the_option_all_run(head_url: str, change: EditableProject) -> None:
    assert alembic(change, head_url, "upgrade", "head").returncode == 0
    assert revision_of(head_url) == CONTRACT


def test_a_target_before_the_stop_is_reached_without_a_word_on_it(head_url: str, change: EditableProject) -> None:
    done = alembic(change, head_url, "-x", "phase=expand", "upgrade", EXPAND)
    assert "Stopped" not in done.stderr
    assert revision_of(head_url) == EXPAND


def test_nothing_behind_the_stop_is_judged(head_url: str, change: EditableProject) -> None:
    """What the contract would lose is refused when the contract is to run."""
    change.add("op.drop_table('users')", extra='phase = "contract"')
    sample_rows.fill(head_url, 1)
    assert alembic(change, head_url, *BEFORE, "head").returncode == 0
    assert alembic(change, head_url, "upgrade", "head").returncode == 7
    assert revision_of(head_url) == EXPAND


def test_a_script_ends_at_the_stop(head_url: str, change: EditableProject, approve: Approve) -> None:
    done = alembic(change, head_url, "-x", "phase=expand", "upgrade", f"{HEAD}:head", "--sql")
    assert done.returncode == 0
    assert f"version_num='{EXPAND}'" in done.stdout
    assert MIGRATE not in done.stdout
    assert "UPDATE users" not in done.stdout
    approve("phases/script.txt", done.stderr)
    assert done.stdout == upgrade_script(head_url, f"{HEAD}:{EXPAND}", change.ini)


@pytest.mark.parametrize(
    "words",
    [
        "-x phase=expnad upgrade head",
        "-x phase= upgrade head",
        "-x phase upgrade head",
        "-x Phase=expand upgrade head",
        "-x phase=EXPAND current",
        "-x phase=expand downgrade -1",
        "-x phase=expand stamp head",
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(
    words: str, sqlite_head: str, change: EditableProject, approve: Approve
) -> None:
    done = alembic(change, sqlite_head, *words.split())
    assert (done.returncode, done.stdout, revision_of(sqlite_head)) == (2, "", HEAD)
    approve(f"phases/refused/{words.replace(' ', '_')}.txt", done.stderr)


@pytest.mark.parametrize("declared", ["'expnad'", "1", "['expand']", "'Expand'", "''"])
def test_a_phase_that_is_none_is_refused_before_anything_runs(
    declared: str, sqlite_head: str, change: EditableProject
) -> None:
    wrong = change.add("pass", extra=f"phase = {declared}")
    for run in (lambda: upgrade(sqlite_head, EXPAND, change.ini), lambda: commands.read_status(PROJECT)):
        with pytest.raises(HistoryError) as caught:
            run()
        assert str(caught.value) == (
            f"{wrong}_test.py: phase is {declared}: write one of 'expand', 'migrate', 'contract'."
        )
    assert revision_of(sqlite_head) == HEAD


@pytest.mark.exhaustive
def test_a_downgrade_asks_for_no_phase(head_url: str, change: EditableProject) -> None:
    upgrade(head_url, "head", change.ini)
    downgrade(head_url, HEAD, change.ini)
    assert revision_of(head_url) == HEAD


def test_the_phase_of_a_revision_that_has_run_may_be_corrected(head_url: str, change: EditableProject) -> None:
    upgrade(head_url, "head", change.ini)
    file = change.file(CONTRACT)
    file.write_text(file.read_text(encoding="utf-8").replace('phase = "contract"', ""), encoding="utf-8")
    upgrade(head_url, "head", change.ini)


@pytest.mark.exhaustive
def test_a_checksum_holds_a_variable_of_that_name() -> None:
    assert checksum('phase = "expand"\nx = 1') == checksum("x = 1")
    assert checksum('def upgrade():\n    phase = "a"') != checksum('def upgrade():\n    phase = "b"')


def test_two_runs_of_different_phases_apply_each_revision_once(head_url: str, change: EditableProject) -> None:
    before = len(attempts(head_url))
    runs = [
        Running("alembic", (*phase, "upgrade", "head"), variables(head_url), change.folder)
        for phase in (["-x", "phase=expand"], ["-x", "phase=contract"], ["-x", "phase=migrate"])
    ]
    done = [run.wait() for run in runs]
    assert [each.returncode for each in done] == [0, 0, 0], done
    expected = [(revision, "upgrade", "applied") for revision in (EXPAND, MIGRATE, CONTRACT)]
    assert attempts(head_url)[before:] == expected


# --- schema -------------------------------------------------------------------


def test_a_deploy_stops_and_compares_at_head_only(head_url: str, change: EditableProject, approve: Approve) -> None:
    said = []
    for words in (
        "--dry-run --phase expand",
        "--phase expand",
        "--dry-run --phase expand",
        "--phase expand",
        "--dry-run --phase migrate",
        "--phase migrate",
        "--phase contract",
        "--phase expand",
    ):
        done = deploy(change, head_url, *words.split())
        assert done.returncode == 0, done
        shown = database_url.shown(database_url.parse(head_url))
        said.append(f"$ schema deploy {words}\n{(done.stdout + done.stderr).replace(shown, 'DATABASE')}")
    text = "".join(said)
    approve("phases/deploy.txt", re.sub(r"in \d+\.\d s", "in N s", plain(text)))


@pytest.mark.exhaustive
def test_a_deploy_says_the_same_in_json(head_url: str, change: EditableProject) -> None:
    done = json.loads(deploy(change, head_url, "--phase", "expand", "--json").stdout)
    assert (done["code"], done["applied"], done["at"], done["head"]) == ("ok", [EXPAND], EXPAND, CONTRACT)
    assert (done["models_compared"], done["stopped"][:30]) == ("not", f"Stopped before {MIGRATE} "[:30])
    done = json.loads(deploy(change, head_url, "--json").stdout)
    assert (done["at"], done["models_compared"] == "not", done["stopped"]) == (CONTRACT, False, "")


def test_a_script_of_deploy_ends_there_too(head_url: str, change: EditableProject) -> None:
    script = commands.script(PROJECT, engine(head_url), Phase.MIGRATE)
    assert script == upgrade_script(head_url, f"{HEAD}:{MIGRATE}", change.ini)
    done = deploy(change, head_url, "--sql", "--phase", "expand")
    assert (done.returncode, done.stderr.endswith(": schema deploy --phase migrate\n")) == (0, True)


def test_an_empty_database_stays_at_no_revision(url: str, editable: EditableProject) -> None:
    first = min(editable.versions.glob("*.py"))
    first.write_text(f'{first.read_text(encoding="utf-8")}\nphase = "contract"\n', encoding="utf-8")
    done = deploy(editable, url, "--phase", "expand")
    assert (done.returncode, "the database is at no revision, and is" in done.stdout) == (0, True), done


def test_a_status_shows_the_phases_of_what_is_pending(head_url: str, change: EditableProject, approve: Approve) -> None:
    behind(change)
    done = alembic(change, head_url, *BEFORE, "head")
    done = schema("status", "--exit-code", DATABASE_URL=head_url, ALEMBIC_CONFIG=str(change.ini))
    assert done.returncode == 3
    lines = [line for line in done.stdout.splitlines() if "A revision of a test" in line]
    approve("phases/status.txt", plain("\n".join(re.sub(r"\d\.\d\d s", "N s", line) for line in lines)))
    done = schema("status", "--json", DATABASE_URL=head_url, ALEMBIC_CONFIG=str(change.ini))
    phases = [revision["phase"] for revision in json.loads(done.stdout)["revisions"]][-5:]
    assert phases == ["expand", "migrate", "contract", None, "expand"]


# --- applications -------------------------------------------------------------


@pytest.mark.exhaustive
def test_an_application_starts_when_its_phase_has_run(head_url: str, change: EditableProject) -> None:
    """Old code and new code, on the database before the change and after each of its phases."""
    (change.folder / "alembic.ini").touch()
    new = replace(PROJECT, root=change.folder)
    found = {}
    for revision in (HEAD, EXPAND, MIGRATE, CONTRACT):
        upgrade(head_url, revision, change.ini)
        with engine(head_url).connect() as connection:
            phases = (None, *Phase)
            found[revision] = [PROJECT.is_current(connection), *(new.is_current(connection, p) for p in phases)]
            assert all(PROJECT.is_current(connection, phase) for phase in phases)
    assert found == {  # old code, new code; after expand, migrate, contract
        HEAD: [True, False, False, False, False],
        EXPAND: [True, False, True, False, False],
        MIGRATE: [True, False, True, True, False],
        CONTRACT: [True, True, True, True, True],
    }


def test_what_stands_behind_a_stop_is_needed_if_its_own_phase_says_so(head_url: str, change: EditableProject) -> None:
    behind(change)
    new = replace(PROJECT, root=change.folder)
    upgrade(head_url, EXPAND, change.ini)
    with engine(head_url).connect() as connection:
        assert new.missing(connection, "expand") == [EXPAND_AGAIN]
        assert new.missing(connection, "migrate") == [MIGRATE, EXPAND_AGAIN]
        assert new.missing(connection, "contract") == [MIGRATE, CONTRACT, UNPHASED, EXPAND_AGAIN]
        assert new.missing(connection) == new.missing(connection, "contract")


def test_a_phase_that_is_none_is_an_error_of_the_application(head_url: str) -> None:
    with pytest.raises(ValueError, match="'expnad' is not a valid Phase"):
        PROJECT.is_current(engine(head_url), "expnad")


# --- releases -----------------------------------------------------------------


def test_the_revision_of_a_database_is_evidence(url: str, editable: EditableProject) -> None:
    def release(*args: str) -> Done:
        return schema("release", *args, DATABASE_URL=url, ALEMBIC_CONFIG=str(editable.ini))

    done = release("--database")
    assert (done.returncode, done.stdout) == (5, "")
    assert "is at no revision: bring it to one with alembic upgrade" in done.stderr
    upgrade(url, REVISIONS[-2], editable.ini)
    assert release("--database").returncode == 0
    assert read_release(PROJECT.config()) == Release(REVISIONS[-2], frozenset())
    execute(url, "UPDATE alembic_version SET version_num = '29990101000000'")
    assert "There is no revision 29990101000000" in release("--database").stderr
    assert release(HEAD, "--database").returncode == 2
