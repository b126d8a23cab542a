"""Inputs that surprised once, with others of their kind: files as editors leave them, threads, git, wrong words."""

import codecs
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_processes import failed
from tests.support.database_access import execute, query, run
from tests.support.environment import ROOT, variables
from tests.support.ledger_rows import applied
from tests.support.project_copy import ProjectCopy

TABLE = "op.create_table('stars', sa.Column('id', sa.Integer, primary_key=True), sa.Column('name', sa.Text))"
THREADS = """
import sys, threading
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

prepare, *urls = sys.argv[1:]
if prepare == "project":
    from app.project import PROJECT
ended = []

def upgrade(url):
    config = PROJECT.config(create_engine(url)) if prepare == "project" else Config("alembic.ini")
    config.attributes["connection"] = create_engine(url)
    try:
        command.upgrade(config, "head")
        ended.append("done")
    except Exception as error:
        ended.append(f"{type(error).__name__}: {error}")

threads = [threading.Thread(target=upgrade, args=[url]) for url in urls]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(*ended, sep="\\n")
"""


def rewritten(path: Path, encoding: str, line_end: str = "\n") -> None:
    text = path.read_text(encoding="utf-8")
    first = "# coding: latin-1\n" if encoding == "latin-1" else ""
    path.write_bytes((first + text.replace("Test", "Testé")).replace("\n", line_end).encode(encoding))


@pytest.mark.in_turn
@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_revision_is_read_as_python_reads_it(url: str, tmp_path: Path, encoding: str, line_end: str) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    revision = project.add(TABLE)
    rewritten(project.file(revision), encoding, line_end)
    for command in ("upgrade", "current", "upgrade"):
        done = project.alembic(*([command, "head"] if command == "upgrade" else [command]), url=url)
        assert done.returncode == 0, done.stderr
    rewritten(project.file(revision), "utf-8")  # the same code
    assert project.alembic("upgrade", "head", url=url).returncode == 0
    assert applied(url) == [revision]


def test_a_file_that_python_cannot_read_is_named(sqlite_url: str, tmp_path: Path) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    file = project.file(project.add(TABLE))
    for content in (b"\xff\xfe" + file.read_bytes(), file.read_text().encode("utf-16"), b"x = 1\0\n"):
        file.write_bytes(content)
        assert file.name in failed(project.alembic("upgrade", "head", url=sqlite_url), 5)


@pytest.mark.parametrize("old", ["another id", "other code"])
def test_bytecode_of_another_text_is_not_run(sqlite_url: str, tmp_path: Path, old: str) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    revision = project.add(TABLE)
    file = project.file(revision)
    source = file.read_text()
    other = source.replace(revision, str(int(revision) + 1)) if old == "another id" else source.replace("name", "mane")
    assert len(other) == len(source)
    assert other != source
    file.write_text(other)
    py_compile.compile(str(file))
    date = file.stat().st_mtime
    file.write_text(source)
    os.utime(file, (date, date))
    assert project.alembic("upgrade", "head", url=sqlite_url).returncode == 0
    assert applied(sqlite_url) == [revision]
    assert query(sqlite_url, "SELECT count(name) FROM stars") == [(0,)]


def test_bytecode_of_the_same_text_stays(sqlite_url: str, tmp_path: Path) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    kept = Path(str(py_compile.compile(str(project.file(project.add(TABLE))))))
    before = kept.stat()
    assert project.alembic("upgrade", "head", url=sqlite_url).returncode == 0
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("copies", [1, 2])
def test_files_with_the_same_id_are_named(sqlite_url: str, tmp_path: Path, copies: int) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    file = project.file(project.add(TABLE))
    for number in range(copies):
        (file.parent / f"copy_{number}.py").write_bytes(codecs.BOM_UTF8 * number + file.read_bytes())
    line = failed(project.alembic("upgrade", "head", url=sqlite_url), 5)
    assert file.name in line
    assert all(f"copy_{number}.py" in line for number in range(copies))


@pytest.mark.exhaustive
@pytest.mark.parametrize("databases", ["one", "several"])
@pytest.mark.parametrize("prepare", ["project", "alembic"])
def test_threads_take_turns_or_are_told_to(tmp_path: Path, databases: str, prepare: str) -> None:
    urls = [f"sqlite:///{tmp_path}/{n if databases == 'several' else 0}.db" for n in range(3)]
    done = subprocess.run(
        [sys.executable, "-c", THREADS, prepare, *urls],
        cwd=ROOT,
        env=variables("sqlite://"),
        capture_output=True,
        text=True,
        check=True,
    )
    ended = sorted(done.stdout.splitlines())
    others = [line for line in ended if line != "done"]
    assert len(ended) == 3
    assert "done" in ended
    assert all(line.startswith("LockNotObtained: Another thread of this process is running") for line in others)
    assert not others or prepare == "alembic"


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["repository", "worktree", "packed", "detached"])
def test_the_ledger_names_the_commit_of_the_code(tmp_path: Path, kind: str) -> None:
    def git(*args: str, folder: Path) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example"]
        return subprocess.run(
            ["git", *identity, *args],  # noqa: S607 - whichever git is there
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    folder = tmp_path / "repository"
    folder.mkdir()
    git("init", "-q", folder=folder)
    git("commit", "-q", "--allow-empty", "-m", "first", folder=folder)
    if kind == "worktree":
        git("worktree", "add", "-q", "-b", "other", str(tmp_path / "worktree"), folder=folder)
        folder = tmp_path / "worktree"
        git("commit", "-q", "--allow-empty", "-m", "second", folder=folder)
    if kind == "packed":
        git("pack-refs", "--all", folder=folder)
    if kind == "detached":
        git("checkout", "-q", "--detach", folder=folder)
    code = (
        "import sys, pathlib; from app.migrations.run import ledger; "
        "print(ledger.code_version(pathlib.Path(sys.argv[1])))"
    )
    env = variables("sqlite://")
    found = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == git("rev-parse", "HEAD", folder=folder)


@pytest.mark.parametrize(
    "statement",
    ["""UPDATE stars SET name = '{"cache":true}'""", "SELECT ':word'"],
)
def test_a_colon_that_became_a_parameter_is_named(url: str, tmp_path: Path, statement: str) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    first = project.add(TABLE)
    project.add(f"op.execute({statement!r})")
    line = failed(project.alembic("upgrade", "head", url=url), 1)
    assert "A colon before a word makes it a parameter of the statement; for the colon itself write \\\\:" in line
    assert applied(url) == [first]


@pytest.mark.exhaustive
def test_a_role_that_a_revision_sets_is_named(postgres_url: str, tmp_path: Path) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    first = project.add(TABLE)
    role = f"tables_{postgres_url.rpartition('_')[2]}"
    execute(postgres_url, f"CREATE ROLE {role}", f"GRANT CREATE ON SCHEMA public TO {role}")
    try:
        second = project.add(f"op.execute('SET LOCAL ROLE {role}')\nop.execute('CREATE TABLE theirs (id int)')")
        line = failed(project.alembic("upgrade", "head", url=postgres_url), 1)
        assert 'The revision sets another role: end that with op.execute("RESET ROLE").' in line
        file = project.file(second)
        text = file.read_text().replace("theirs (id int)')", "theirs (id int)')\n    op.execute('RESET ROLE')")
        file.write_text(text)
        done = project.alembic("upgrade", "head", url=postgres_url)
        assert done.returncode == 0, done.stderr
        assert applied(postgres_url) == [first, second]
        assert query(postgres_url, "SELECT tableowner FROM pg_tables WHERE tablename = 'theirs'") == [(role,)]
    finally:
        run(postgres_url, f"DROP OWNED BY {role}")
        run(postgres_url, f"DROP ROLE {role}")
