"""Kinds of input found by a sweep: a run that says ok and isn't, rows that nobody should have written, search paths."""

import shutil
from pathlib import Path

import pytest

from tests.support.alembic_in_process import Alembic, revision_of
from tests.support.command_processes import Done, failed
from tests.support.database_access import execute, query
from tests.support.project_copy import ProjectCopy
from tests.support.schema_in_process import schema

TABLE = "op.create_table('stars', sa.Column('id', sa.Integer, primary_key=True), sa.Column('name', sa.Text))"
UPGRADE, DOWNGRADE = "def upgrade() -> None:", "def downgrade() -> None:"
WRAPPED = f"import functools\n\n\nasync def work():\n    pass\n\n\n@functools.wraps(work)\n{UPGRADE}"


def in_order(done: Done) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def without_traceback(done: Done, code: int) -> str:
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert done.returncode == code, said
    return said


# --- a run that says ok and isn't --------------------------------------------


@pytest.mark.parametrize(
    ("plain", "lazy"),
    [
        (UPGRADE, UPGRADE.replace("def", "async def")),
        pytest.param(TABLE, f"yield {TABLE}", marks=pytest.mark.exhaustive),
        pytest.param(UPGRADE, WRAPPED, marks=pytest.mark.exhaustive),
        pytest.param(DOWNGRADE, DOWNGRADE.replace("def", "async def"), marks=pytest.mark.exhaustive),
        pytest.param("    pass", "    yield", marks=pytest.mark.exhaustive),
    ],
)
def test_a_revision_whose_call_would_do_nothing_is_refused(url: str, tmp_path: Path, plain: str, lazy: str) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    file = project.file(project.add(TABLE))
    assert plain in file.read_text()
    file.write_text(file.read_text().replace(plain, lazy))
    line = failed(project.alembic("upgrade", "head", url=url), 5)
    assert file.name in line
    assert "would do nothing" in line
    assert revision_of(url) is None


@pytest.mark.parametrize("code", ["0", pytest.param("3", marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("where", ["import", "upgrade"])
def test_a_revision_that_ends_the_process_has_failed(url: str, tmp_path: Path, code: str, where: str) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    ends = f"__import__('sys').exit({code})"
    revision = project.add(f"{TABLE}\n{ends}" if where == "upgrade" else TABLE)
    if where == "import":
        project.declare(revision, ends)
    line = failed(project.alembic("upgrade", "head", url=url), 1 if where == "upgrade" else 5)
    assert "sys.exit()" in line
    assert f"{project.file(revision).name} line" in line
    assert revision_of(url) is None


@pytest.mark.parametrize("left", ["nothing", "a file"])
def test_a_history_without_its_folder_is_no_empty_one(sqlite_url: str, tmp_path: Path, left: str) -> None:
    project = ProjectCopy(tmp_path)
    shutil.rmtree(project.versions)
    if left == "a file":
        project.versions.touch()
    for done in (
        project.alembic("upgrade", "head", url=sqlite_url),
        schema("deploy", DATABASE_URL=sqlite_url, ALEMBIC_CONFIG=str(project.ini)),
    ):
        assert str(project.versions) in failed(done, 5)


# --- rows that nobody should have written ------------------------------------

VERSIONS = {
    "empty": ("''", "''"),
    "NULL": ("NULL", "None"),
    "a number": ("20260228000000", "20260228000000"),
    "blanks": ("'20260228000000 '", "'20260228000000 '"),
    "a beginning": ("'2026022'", "2026022"),
    "twice": ("'20260228000000'), ('20260228000000'", "2 times"),
}


@pytest.mark.parametrize("kind", ["empty", *(pytest.param(k, marks=pytest.mark.exhaustive) for k in [*VERSIONS][1:])])
def test_a_version_that_is_none_is_named(head_url: str, alembic: Alembic, kind: str) -> None:
    value, named = VERSIONS[kind]
    column = "BIGINT" if kind == "a number" else "TEXT"
    statements = [
        "DROP TABLE alembic_version",
        f"CREATE TABLE alembic_version (version_num {column})",
        f"INSERT INTO alembic_version VALUES ({value})",
    ]
    execute(head_url, *statements)
    for command in (["upgrade", "head"], ["downgrade", "-1"], ["current"], ["check"]):
        assert named in failed(alembic(*command, url=head_url), 5)
    for command in (["status", "--exit-code"], ["check"], ["deploy"]):
        assert named in without_traceback(schema(*command, DATABASE_URL=head_url), 5)


@pytest.mark.parametrize(
    "assignment",
    [
        "duration_ms = 'soon'",
        "checksum = x'ff'",
        "host = x'00'",
        "pid = 'me'",
        pytest.param("error = 5.5, error_class = x'01'", marks=pytest.mark.exhaustive),
    ],
)
def test_a_ledger_of_other_types_is_named(sqlite_head: str, alembic: Alembic, assignment: str) -> None:
    execute(sqlite_head, f"UPDATE schema_ledger SET {assignment}")
    named = "schema_ledger has a row that can't be read"
    assert named in failed(alembic("upgrade", "head", url=sqlite_head), 1)
    assert named in without_traceback(schema("status", DATABASE_URL=sqlite_head), 1)


# --- search paths ------------------------------------------------------------


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ["postgresql"], indirect=True)  # SQLite has no search path
@pytest.mark.parametrize("path", ["hers, public", '"Her Own", hers, public'])
def test_tables_of_two_schemas_are_refused(head_url: str, alembic: Alembic, path: str) -> None:
    name = head_url.rpartition("/")[2]
    execute(
        head_url,
        "CREATE SCHEMA hers",
        'CREATE SCHEMA "Her Own"',
        f"ALTER DATABASE {name} SET search_path = {path}",
    )
    first = path.partition(",")[0]
    for command in (["upgrade", "head"], ["downgrade", "-1"], ["check"], ["current"]):
        line = failed(alembic(*command, url=head_url), 2)
        assert "is in the schema public" in line
        assert f"would be made in {first}," in line
    for command in (["status"], ["check"], ["check", "--revert", "--yes"], ["deploy"]):
        assert "is in the schema public" in without_traceback(schema(*command, DATABASE_URL=head_url), 2)
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname IN ('hers', 'Her Own')"
    assert query(head_url, tables) == [(0,)]


@pytest.mark.parametrize("path", ["''", pytest.param("nowhere, neither", marks=pytest.mark.exhaustive)])
def test_a_search_path_without_a_schema_is_named(postgres_url: str, alembic: Alembic, path: str) -> None:
    execute(postgres_url, f"ALTER DATABASE {postgres_url.rpartition('/')[2]} SET search_path = {path}")
    assert "search path" in failed(alembic("upgrade", "head", url=postgres_url), 2)
    assert "search path" in without_traceback(schema("status", DATABASE_URL=postgres_url), 2)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["MixedCase", "with blank", 'a"quote', "select"])
def test_a_schema_may_have_any_name(postgres_url: str, alembic: Alembic, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    database = postgres_url.rpartition("/")[2]
    execute(postgres_url, f"CREATE SCHEMA {quoted}", f"ALTER DATABASE {database} SET search_path = {quoted}")
    for command in (["upgrade", "head"], ["check"], ["downgrade", "-1"], ["upgrade", "head"]):
        in_order(alembic(*command, url=postgres_url))
    in_order(schema("check", DATABASE_URL=postgres_url))
