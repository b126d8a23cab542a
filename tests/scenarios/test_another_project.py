"""A second project on the engine: the files of docs/another-project.md, without this project's models and settings."""

import json
import re
import shutil
from pathlib import Path

import pytest

from app.encryption import ENC, FieldCipher, Keyring, RawKey
from tests.support.command_processes import UNPREPARED, Done, failed
from tests.support.database_access import execute, query
from tests.support.databases import ONE_A_DAY
from tests.support.environment import ROOT, variables
from tests.support.ledger_rows import applied

pytestmark = pytest.mark.exhaustive

THIS_SCHEMA = {"models", "settings.py", "project.py", "revision_api.py"}
OLD, NEW = RawKey.generate(), RawKey.generate()
RAISED = """
class Raised(sa.types.TypeDecorator[str]):
    impl = sa.String(20)
    cache_ok = True


class Base("""


class Notes:
    """The project `notes` in a folder of its own, beside the engine without this schema."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        page = (ROOT / "docs" / "another-project.md").read_text(encoding="utf-8")
        for name, text in re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
            file = folder / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
        (folder / "alembic" / "versions").mkdir()
        shutil.copy(ROOT / "alembic" / "script.py.mako", folder / "alembic")
        (folder / "app").mkdir()
        for part in (ROOT / "app").iterdir():
            if part.name not in {*THIS_SCHEMA, "__pycache__"}:
                (folder / "app" / part.name).symlink_to(part)

    def run(self, *args: str, **env: str) -> Done:
        """Runs a module of Python in the project's folder."""
        return UNPREPARED.run(*args, env=variables(self.url) | env, folder=self.folder)

    def succeeds(self, *args: str, **env: str) -> Done:
        done = self.run(*args, **env)
        assert done.returncode == 0, done.stderr
        return done

    def edit(self, old: str, new: str) -> None:
        """Edits the models."""
        file = self.folder / "notes" / "models.py"
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1
        file.write_text(text.replace(old, new), encoding="utf-8")

    def write(self, message: str) -> Path:
        """Writes a revision, and returns its file."""
        self.succeeds("alembic", "revision", "--autogenerate", "-m", message)
        return max((self.folder / "alembic" / "versions").glob("*.py"))


@pytest.fixture
def notes(url: str, tmp_path: Path) -> Notes:
    """The project, its first revision applied."""
    folder = tmp_path / "notes"
    folder.mkdir()
    made = Notes(folder, url)
    made.write("first tables")
    made.succeeds("alembic", "upgrade", "head")
    return made


def test_a_revision_is_written_applied_and_compared(notes: Notes) -> None:
    notes.edit("\nclass Base(", RAISED)
    notes.edit("    colour:", "    title: Mapped[str | None] = mapped_column(Raised)\n    colour:")
    file = notes.write("add titles")
    text = file.read_text(encoding="utf-8")
    assert 'op.add_column("notebooks", sa.Column("title", sa.String(length=20), nullable=True))' in text
    assert re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE) == ["sqlalchemy", "alembic"]
    failed(notes.run("alembic", "check"), 3)
    assert f"upgrade {file.name[:14]} Add titles" in notes.succeeds("alembic", "upgrade", "head").stderr
    notes.succeeds("alembic", "check")
    assert json.loads(notes.succeeds("notes", "check", "--json").stdout)["code"] == "ok"
    notes.succeeds("notes", "snapshot", "--check")
    assert applied(notes.url)[-1:] == [file.name[:14]]
    status = json.loads(notes.succeeds("notes", "status", "--json").stdout)
    assert (status["code"], [revision["state"] for revision in status["revisions"]]) == ("ok", ["applied", "applied"])


@pytest.mark.parametrize("url", ONE_A_DAY, indirect=True)
def test_values_are_lost_only_with_consent(notes: Notes) -> None:
    execute(notes.url, "INSERT INTO notebooks (id, name, colour) VALUES (1, 'travel', 'green')")
    notes.edit("    colour: Mapped[str | None] = mapped_column(sa.String(20))\n", "")
    file = notes.write("drop colours")
    refusal = notes.run("alembic", "upgrade", "head")
    failed(refusal, 7)
    assert 'acknowledged = {"drop_column notebooks.colour": "why, and where the data is"}' in refusal.stderr
    failed(notes.run("notes", "deploy", "--dry-run"), 7)
    with file.open("a", encoding="utf-8") as text:
        text.write('\nacknowledged = {"drop_column notebooks.colour": "nobody sees it"}\n')
    notes.succeeds("notes", "deploy")
    assert query(notes.url, "SELECT * FROM notebooks") == [(1, "travel")]


@pytest.mark.parametrize("url", ONE_A_DAY, indirect=True)
def test_secrets_are_rotated_from_one_key_to_another(notes: Notes) -> None:
    old, new = (FieldCipher(ENC, Keyring.parse("NOTES_KEY", RawKey.from_base64, key)) for key in (OLD, NEW))
    execute(notes.url, "INSERT INTO notebooks (id, name) VALUES (1, 'travel')")
    bodies = ", ".join(f"(1, '{old.encrypt(f'body {number}')}')" for number in range(50))
    execute(notes.url, f"INSERT INTO notes (notebook_id, body) VALUES {bodies}")
    assert "Set it (or NOTES_KEY_FILE)" in failed(notes.run("notes", "secrets", "rotate"), 2)
    done = notes.succeeds("notes", "secrets", "rotate", "--workers", "2", NOTES_KEY=NEW, NOTES_KEY_PREVIOUS=OLD)
    assert "50 encrypted anew" in done.stdout
    found = [new.decrypt(str(body)) for (body,) in query(notes.url, "SELECT body FROM notes ORDER BY id")]
    assert found == [f"body {number}" for number in range(50)]
    report = json.loads(notes.succeeds("notes", "secrets", "status", "--json", NOTES_KEY=NEW).stdout)
    assert [(column["table"], column["column"], column["unreadable"]) for column in report["columns"]] == [
        ("notes", "body", 0)
    ]


def test_new_keys_are_for_the_variables_of_the_project(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    notes = Notes(folder, "sqlite://")
    assert notes.succeeds("notes", "secrets", "keygen").stdout.startswith("NOTES_KEY=")
