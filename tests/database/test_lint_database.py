"""`schema lint` of files, of what a commit lacks, and with a database that tells the sizes of its tables."""

import subprocess
from pathlib import Path

import pytest

from app.errors import DatabaseUnreachable
from app.migrations import commands
from app.migrations.errors import HistoryError
from app.migrations.releases import with_release
from app.project import PROJECT
from tests.support.alembic_in_process import HEAD, REVISIONS, command_line
from tests.support.database_access import engine, execute, query
from tests.support.editable_project import EditableProject
from tests.support.environment import variables
from tests.support.partitioned_database import partition

pytestmark = pytest.mark.in_turn

INDEX = 'op.create_index("request_logs_time_idx", "request_logs", ["total_time_ms"])'
FILL = """
INSERT INTO request_logs (request_time, retry_count, is_stream)
SELECT '2025-01-01'::timestamp + n * interval '1 second', 0, false FROM generate_series(1, 12000) AS n
"""


def test_a_large_table_has_its_size_and_a_small_one_no_finding(head_url: str, editable: EditableProject) -> None:
    revision = editable.add(f'{INDEX}\nop.create_index("users_again_idx", "users", ["created_at"])')
    if head_url.startswith("sqlite"):
        done = commands.lint(PROJECT, [revision], database=True, engine=engine(head_url))
        assert len(done.findings) == 2
        assert [note.partition(" ")[2] for note in done.notes] == [
            "tells nothing about the tables of a busy PostgreSQL"
        ]
        return
    execute(head_url, FILL, "ANALYZE request_logs", "ANALYZE users")
    before = query(head_url, "SELECT relname, reltuples FROM pg_class WHERE relkind = 'r' ORDER BY 1")
    done = commands.lint(PROJECT, [revision], database=True, engine=engine(head_url))
    assert [found.stall.name for found in done.findings] == ["index request_logs.request_logs_time_idx"]
    assert "(request_logs: 12,000 rows, " in done.findings[0].text()
    assert [note.partition(": ")[2].partition(" (")[0] for note in done.notes] == [
        "index users.users_again_idx is left out, for users is small"
    ]
    assert query(head_url, "SELECT relname, reltuples FROM pg_class WHERE relkind = 'r' ORDER BY 1") == before


@pytest.mark.parametrize("head_url", ["postgresql"], indirect=True)
def test_a_partitioned_table_has_the_rows_of_its_leaves(head_url: str, editable: EditableProject) -> None:
    partition(head_url)
    execute(head_url, FILL, "ANALYZE")
    done = commands.lint(PROJECT, [editable.add(INDEX)], database=True, engine=engine(head_url))
    assert [found.size.startswith("12,000 rows, ") for found in done.findings] == [True]


def test_what_has_run_is_told_by_the_database_or_by_the_release(head_url: str, editable: EditableProject) -> None:
    revision = editable.add(INDEX)
    done = commands.lint(PROJECT)
    assert (done.revisions, done.findings) == (len(REVISIONS) + 1, [])
    assert [note.partition(":")[0] for note in done.notes] == [
        "All revisions were taken for one run, in which every table is new"
    ]
    assert commands.lint(PROJECT, database=True, engine=engine(head_url)).revisions == 1
    text = editable.ini.read_text(encoding="utf-8")
    editable.ini.write_text(with_release(text, HEAD, []), encoding="utf-8")
    done = commands.lint(PROJECT)
    assert ([found.revision for found in done.findings], done.notes) == ([revision], [])


def test_a_table_that_its_model_calls_small(editable: EditableProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROJECT.metadata().tables["request_logs"].info, "small", True)
    done = commands.lint(PROJECT, [editable.add(INDEX)])
    assert (done.exit_code, done.notes) == (
        0,
        [f"{int(HEAD) + 1}_test.py: index request_logs.request_logs_time_idx is left out, for request_logs is small"],
    )


def test_a_database_that_is_away(editable: EditableProject) -> None:
    with pytest.raises(DatabaseUnreachable, match="Can't connect") as failure:
        commands.lint(
            PROJECT, [editable.add(INDEX)], database=True, engine=engine("postgresql+psycopg://x@127.0.0.1:1/x")
        )
    assert failure.value.exit_code == 1


def test_files_are_revisions_or_are_passed_over(editable: EditableProject, monkeypatch: pytest.MonkeyPatch) -> None:
    file = editable.file(editable.add(INDEX))
    (file.parent / "notes.txt").touch()
    monkeypatch.chdir(file.parent)
    for name in (str(file), file.name, f"../versions/{file.name}"):
        done = commands.lint(PROJECT, [name, "notes.txt", "gone.py", REVISIONS[0]])
        assert (done.revisions, [found.file.name for found in done.findings]) == (2, [file.name])
        assert done.notes == ["notes.txt is no revision: passed over", "gone.py is no revision: passed over"]
    with pytest.raises(HistoryError, match=f"There is no revision 2020: the last one is {int(HEAD) + 1}"):
        commands.lint(PROJECT, ["2020"])


def test_a_new_revision_is_shown_its_findings_and_written_all_the_same(
    head_url: str, editable: EditableProject
) -> None:
    editable.edit_models('sa.Index("request_logs_time_idx", tables["request_logs"].c.total_time_ms)')
    write = ["revision", "--autogenerate", "-m", "index the time"]
    done = command_line("-x", "plain=yes", *write, env=variables(head_url), folder=editable.folder)
    assert done.returncode == 0
    (file,) = editable.versions.glob("*_index_the_time.py")
    assert f"{file.name}:17: error [index] building the index request_logs_time_idx keeps" in done.stderr
    file.unlink()
    done = command_line(*write, env=variables(head_url), folder=editable.folder)
    assert (done.returncode, "[index]" in done.stderr) == (0, False)


def test_since_a_commit(editable: EditableProject) -> None:
    def git(*args: str) -> None:
        identity = ["-c", "user.name=x", "-c", "user.email=x@y"]
        command = ["git", "-C", str(editable.folder), *identity, *args]
        subprocess.run(command, check=True, capture_output=True)

    git("init", "-b", "main")
    git("add", ".")
    git("commit", "-m", "landed")
    revision = editable.add(INDEX)
    done = commands.lint(PROJECT, since="main")
    assert (done.revisions, [found.revision for found in done.findings]) == (1, [revision])
    assert commands.lint(PROJECT, since=HEAD).revisions == 1
    for name in ("nowhere", "--output=x"):
        with pytest.raises(HistoryError, match=f"There is no revision {name}"):
            commands.lint(PROJECT, since=name)
    assert not Path("x").exists()
