"""The scripts of the hook and of the CI templates, run as they stand on a good revision and on a bad one."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.support.editable_project import EditableProject
from tests.support.environment import ROOT, variables

BAD = 'op.create_index("request_logs_time_idx", "request_logs", ["total_time_ms"])'
GOOD = f"with op.concurrently():\n    {BAD}"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


@pytest.fixture
def run(editable: EditableProject, tmp_path: Path) -> Run:
    """Runs a script of bash in a repository that has landed all revisions but the last, with `schema` in its path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    schema = programs / "schema"
    schema.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m app.cli "$@"\n', encoding="utf-8")
    schema.chmod(schema.stat().st_mode | stat.S_IXUSR)
    git = ["git", "-C", str(editable.folder), "-c", "user.name=x", "-c", "user.email=x@y"]
    for command in (["init", "-b", "main"], ["add", "."], ["commit", "-m", "landed"]):
        subprocess.run([*git, *command], check=True, capture_output=True)

    def script(text: str, **env: str) -> "subprocess.CompletedProcess[str]":
        environment = variables("") | {"PATH": f"{programs}:{os.environ['PATH']}", **env}
        environment["ALEMBIC_CONFIG"] = str(editable.ini)
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text]  # as both runners do
        return subprocess.run(
            command, cwd=editable.folder, env=environment, capture_output=True, text=True, check=False
        )

    return script


@pytest.mark.exhaustive
@pytest.mark.parametrize(("body", "code"), [(BAD, 9), pytest.param(GOOD, 0, marks=pytest.mark.exhaustive)])
def test_the_hook_of_pre_commit(body: str, code: int, run: Run, editable: EditableProject) -> None:
    (hook,) = read(".pre-commit-hooks.yaml")
    file = editable.file(editable.add(body)).relative_to(editable.folder)
    done = run(f"{hook['entry']} {file}")
    assert (done.returncode, done.stderr) == (code, "")
    assert ("[index]" in done.stdout) == (code == 9)


@pytest.mark.parametrize(("body", "code"), [(BAD, 9), pytest.param(GOOD, 0, marks=pytest.mark.exhaustive)])
def test_the_action(body: str, code: int, run: Run, editable: EditableProject) -> None:
    (step,) = read("action.yml")["runs"]["steps"]
    revision = editable.add(body)
    done = run(step["run"], SINCE="main")
    place = f"file=alembic/versions/{revision}_test.py,line=11,title=index"
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout.startswith(f"::error {place}::building the index") == (code == 9)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("body", "code"), [(BAD, 9), pytest.param(GOOD, 0, marks=pytest.mark.exhaustive)])
def test_the_template_of_gitlab(body: str, code: int, run: Run, editable: EditableProject) -> None:
    script = "\n".join(read("ci/gitlab.yml")[".schema-lint"]["script"])
    editable.add(body)
    done = run(script, CI_MERGE_REQUEST_DIFF_BASE_SHA="main")
    assert (done.returncode, done.stderr) == (code, "")
    suite = ET.parse(editable.folder / "schema-lint.xml").getroot()  # noqa: S314 - our own
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1" if code else "0")
