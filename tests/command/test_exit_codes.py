"""The exit codes of `alembic` and `schema`, each from a real process; a lock and signals have tests of their own."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.alembic_in_process import HEAD
from tests.support.command_processes import start_schema
from tests.support.database_access import connected, execute
from tests.support.project_copy import ProjectCopy

TABLE = "op.create_table('t', sa.Column('n', sa.Integer))"
HALF = """\
with op.get_context().autocommit_block():
    op.execute("CREATE TABLE half (n integer)")
    op.execute("SELECT * FROM nowhere")
"""


@pytest.fixture
def project(tmp_path: Path) -> ProjectCopy:
    """A project without revisions."""
    folder = tmp_path / "project"
    folder.mkdir()
    return ProjectCopy(folder, revisions=False)


def test_an_upgrade_ends_with_0(project: ProjectCopy, url: str) -> None:
    project.add(TABLE)
    assert project.process("upgrade", "head", url=url).returncode == 0


def test_a_revision_that_fails_ends_with_1(project: ProjectCopy, url: str) -> None:
    project.add("raise ValueError")
    assert project.process("upgrade", "head", url=url).returncode == 1


def test_a_malformed_option_ends_with_2(project: ProjectCopy, url: str) -> None:
    project.add(TABLE)
    assert project.process("-x", "lock_timeout=soon", "upgrade", "head", url=url).returncode == 2


@pytest.mark.parametrize("option", ["lock-timeout=0.3", "accept_data_loss=20260301120000", "Decrypt_Secrets=yes"])
def test_a_misspelt_option_ends_with_2_before_anything_runs(project: ProjectCopy, option: str, url: str) -> None:
    project.add(TABLE)
    done = project.alembic("-x", option, "upgrade", "head", url=url)
    assert done.returncode == 2
    assert done.stderr.startswith(f"FAILED: There is no option -x {option.partition('=')[0]!r}: write -x ")
    assert done.stderr.count("\n") == 1
    with connected(url) as connection:
        assert sa.inspect(connection).get_table_names() == []


def test_an_option_of_another_kind_is_left_to_the_project(project: ProjectCopy, url: str) -> None:
    project.add(TABLE)
    assert project.alembic("-x", "tenant=north", "upgrade", "head", url=url).returncode == 0


def test_a_check_of_a_database_that_is_behind_ends_with_3(project: ProjectCopy, url: str) -> None:
    project.add(TABLE)
    assert project.process("check", url=url).returncode == 3


@pytest.mark.exhaustive
def test_an_upgrade_after_a_revision_that_failed_half_way_ends_with_4(project: ProjectCopy, url: str) -> None:
    project.add(HALF)
    assert [project.process("upgrade", "head", url=url).returncode for _ in range(2)] == [1, 4]


def test_a_database_that_is_ahead_of_the_code_ends_with_5(project: ProjectCopy, url: str) -> None:
    revision = project.add(TABLE)
    project.upgrade(url)
    project.file(revision).unlink()
    assert project.process("upgrade", "head", url=url).returncode == 5


@pytest.mark.exhaustive
def test_a_loss_of_rows_without_consent_ends_with_7(project: ProjectCopy, url: str) -> None:
    project.add(TABLE)
    project.upgrade(url)
    execute(url, "INSERT INTO t VALUES (1)")
    project.add("op.drop_table('t')")
    assert project.process("upgrade", "head", url=url).returncode == 7


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("status", 0),
        ("status --exit-code", 0),
        ("deploy", 0),
        ("deploy --dry-run", 0),
        ("check", 0),
        (f"resolve {HEAD} --applied", 0),
        ("resolve 20200101000000 --applied", 5),
        ("check --yes", 2),
        ("secrets status", 0),
    ],
)
def test_schema_ends_with_its_code(line: str, code: int, head_url: str) -> None:
    done = start_schema(*line.split(), DATABASE_URL=head_url).wait()
    assert done.returncode == code, done.stderr


def test_a_status_of_an_empty_database_ends_with_3_when_asked(url: str) -> None:
    assert start_schema("status", "--exit-code", DATABASE_URL=url).wait().returncode == 3


@pytest.mark.exhaustive
def test_a_check_that_finds_drift_ends_with_8(head_url: str) -> None:
    execute(head_url, "CREATE INDEX users_created_at_idx ON users (created_at)")
    assert start_schema("check", DATABASE_URL=head_url).wait().returncode == 8
