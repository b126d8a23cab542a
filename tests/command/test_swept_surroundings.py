"""Kinds of surroundings found by a sweep: outputs, threads, paths and options of SQLite, logging."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Never

import pytest

from app import db
from app.errors import SettingsError
from tests.support.alembic_in_process import Alembic, command_line, revision_of
from tests.support.command_processes import failed
from tests.support.environment import ROOT, variables
from tests.support.project_copy import ProjectCopy
from tests.support.schema_in_process import schema

TABLE = "op.create_table('stars', sa.Column('id', sa.Integer, primary_key=True), sa.Column('name', sa.Text))"

# --- outputs and processes ---------------------------------------------------

SHELL = {
    "alembic": f"{sys.executable} -m alembic",
    "schema": f"{sys.executable} -m app.cli",
}


def shell(line: str, url: str, **env: str) -> subprocess.CompletedProcess[str]:
    for name, command in SHELL.items():
        line = line.replace(f"{name} ", f"{command} ")
    shell = ["bash", "-o", "pipefail", "-c", line]
    return subprocess.run(shell, cwd=ROOT, env=variables(url) | env, capture_output=True, text=True, check=False)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("alembic upgrade head >&- 2>&-", 0),
        ("alembic upgrade head <&- >&- 2>&-", 0),
        ("alembic upgrade head 2>/dev/full", 0),
        ("alembic upgrade head 2>&1 | head -1", 0),
        ("schema deploy >&- 2>&-", 0),
        ("schema deploy >/dev/full", 1),
        ("schema deploy 2>/dev/full", 0),
    ],
)
def test_an_upgrade_needs_no_output(url: str, line: str, code: int) -> None:
    done = shell(line, url)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert revision_of(url) is not None


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("alembic upgrade base:head --sql >/dev/full", "cut off"),
        ("alembic upgrade base:head --sql | head -1", "cut off"),
        ("alembic upgrade 20260123000000:20260131000000 --sql >/dev/full", "cut off"),
        ("schema status >/dev/full", "done its work"),
        ("schema status --json >/dev/full", "done its work"),
        ("schema check >/dev/full", "done its work"),
    ],
)
def test_an_output_that_cannot_be_written_is_one_line(head_url: str, line: str, word: str) -> None:
    done = shell(line, head_url)
    assert done.returncode == 1
    assert done.stderr.startswith("FAILED: The output can't be written")
    assert word in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_title_that_the_terminal_cannot_show_is_escaped(sqlite_url: str, tmp_path: Path, encoding: str) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    file = project.file(project.add(TABLE))
    file.write_text(file.read_text().replace('"""', '"""☃ ', 1), encoding="utf-8")
    env = {"PYTHONIOENCODING": encoding, "LC_ALL": "C", "ALEMBIC_CONFIG": str(project.ini)}
    for line in ("alembic upgrade head", "schema status", "schema status --json", "alembic history"):
        done = shell(line, sqlite_url, **env)
        assert done.returncode == 0, done.stderr
        assert "Error" not in done.stderr


@pytest.mark.exhaustive
@pytest.mark.parametrize("command", ["--help", "status", "check", "secrets --help"])
def test_schema_works_without_docstrings(sqlite_head: str, command: str) -> None:
    done = shell(f"PYTHONOPTIMIZE=2 schema {command}", sqlite_head)
    assert done.returncode == 0, done.stderr


def test_an_upgrade_needs_no_thread(url: str, alembic: Alembic, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> Never:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done = alembic("upgrade", "head", url=url)
    assert done.returncode == 0, done.stderr


# --- URLs and files of SQLite, configurations --------------------------------


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("sqlite:///{0}/a.db?mode=ro", "mode"),
        ("sqlite:///{0}/a.db?immutable=1", "immutable"),
        ("sqlite:///{0}/a.db?cache=shared&timeout=1", "cache"),
        ("sqlite:///{0}/a.db?timeout=soon", "timeout"),
        ("sqlite:///{0}/a.db?detect_types=many", "detect_types"),
        ("sqlite:///{0}/a%00b.db", "zero byte"),
        ("postgresql://me%00x:secret@127.0.0.1:1/x", "zero byte"),
        ("postgresql://me:sec%00ret@127.0.0.1:1/x", "zero byte"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(tmp_path: Path, url: str, word: str) -> None:
    with pytest.raises(SettingsError, match=word) as caught:
        db.migration_engine(url.format(tmp_path))
    assert "sec" not in str(caught.value)
    assert not [*tmp_path.iterdir()]


def test_options_that_python_takes_and_those_of_a_uri_are_kept(tmp_path: Path) -> None:
    for options in ("timeout=1&detect_types=0", "mode=rwc&uri=true", "cache=shared&uri=true"):
        name = f"file:{tmp_path}/a.db" if "uri" in options else f"{tmp_path}/a.db"
        with db.connect(db.migration_engine(f"sqlite:///{name}?{options}")) as connection:
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def _circle(folder: Path) -> Path:
    (folder / "link").symlink_to("link")
    return folder / "link"


MAKE: dict[str, Callable[[Path], Path]] = {
    "a name that is too long": lambda folder: folder / ("x" * 300),
    "a named pipe": _pipe,
    "a circle of links": _circle,
    "a device": lambda _: Path(os.devnull),
}


@pytest.mark.parametrize("kind", MAKE)
def test_a_path_that_can_be_no_database_is_one_line(tmp_path: Path, alembic: Alembic, kind: str) -> None:
    url = f"sqlite:///{MAKE[kind](tmp_path)}"
    failed(alembic("upgrade", "head", url=url), 1)
    if kind != "a circle of links":  # reads as a file that isn't there
        failed(alembic("current", url=url), 1)
        failed(schema("status", DATABASE_URL=url), 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("level = INFO", "level = LOUD"),
        ("class = StreamHandler", "class = nowhere.Handler"),
        ("keys = root", "keys = root, nowhere"),
    ],
)
def test_logging_that_cannot_be_set_up_is_one_line(sqlite_url: str, tmp_path: Path, old: str, new: str) -> None:
    project = ProjectCopy(tmp_path)
    text = project.ini.read_text(encoding="utf-8")
    assert old in text
    project.ini.write_text(text.replace(old, new), encoding="utf-8")
    env = variables(sqlite_url)
    assert "logging" in failed(command_line("upgrade", "head", env=env, folder=tmp_path), 2)
