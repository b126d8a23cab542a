"""`schema dev`: a model is edited, and a revision is named, written, shown and applied."""

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app import database_url, db
from app.cli import texts
from app.errors import DatabaseUnreachable
from app.migrations import snapshots
from app.migrations.commands.dev import Development, develop
from app.migrations.errors import ConfigurationError, HistoryError
from app.migrations.run.connections import require_local
from app.project import PROJECT
from tests.support.alembic_in_process import HEAD, REVISIONS, revision_of
from tests.support.approved_texts import Approve, plain
from tests.support.command_processes import UNPREPARED, Done
from tests.support.database_access import execute, query
from tests.support.databases import ONE_A_DAY, At
from tests.support.environment import OURS
from tests.support.project_copy import ProjectCopy
from tests.support.schema_dump import schema_of
from tests.support.source_copy import SourceCopy

NICK = '    nick: Mapped[str | None] = mapped_column(sa.String(50), comment="What friends say.")\n'
NICKNAME = NICK.replace("nick:", "nickname:")
ABOVE = "    is_whitelisted: Mapped[bool]"


def environment(url: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith((*OURS, "SCHEMA_", "PYTHON"))}
    ours = {"DATABASE_URL": url, "GATEWAY_SCHEMA_ENV_FILE": "", "TERM": "dumb"}
    return inherited | ours


def dev(source_copy: SourceCopy, *args: str, url: str) -> Done:
    """Runs `schema dev` where nobody is at a terminal."""
    return UNPREPARED.run("app.cli", "dev", *args, env=environment(url), folder=source_copy.folder)


def typed(source_copy: SourceCopy, *args: str, url: str, answers: list[tuple[str, str]]) -> tuple[int, str]:
    """Runs Python with these arguments at a terminal, and types each answer when its question is there.

    Returns:
        The exit code, and what the screen showed.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *args],
        cwd=source_copy.folder,
        env=environment(url),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    screen, waiting, deadline = "", list(answers), time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            read = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        screen += read.decode()
        if waiting and waiting[0][0] in screen.rpartition("\n")[2]:
            os.write(ours, waiting.pop(0)[1].encode())
    os.close(ours)
    code = process.wait(timeout=60)
    assert not waiting, screen
    return code, screen.replace("\r\n", "\n")


def unstamped(text: str, *places: Path | str) -> str:
    """A text without what differs from run to run, and between the databases."""
    text = re.sub(r"^(?:Compared on a throw-away PostgreSQL|Snapshots of).*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\b20\d{12}(?=_|\b)", lambda found: found[0] if found[0] in REVISIONS else "NEW", text)
    return plain(text, *places)


# --- where nobody is at a terminal ----------------------------------------------------------------------------


@pytest.mark.exhaustive
@pytest.mark.parametrize("at", ONE_A_DAY, indirect=True)
def test_an_edit_becomes_a_revision_that_is_applied(source_copy: SourceCopy, at: At, approve: Approve) -> None:
    url = at(REVISIONS[-2])
    source_copy.edit("auth.py", (ABOVE, NICK + ABOVE))
    done = dev(source_copy, "-m", "add users.nick", "--json", url=url)
    assert done.returncode == 0, done.stderr
    (file,) = source_copy.written()
    assert re.fullmatch(r"\d{14}_add_users_nick\.py", file.name)
    approve("dev.txt", unstamped(f"{done.stderr}\n{done.stdout}", url, database_url.shown(database_url.parse(url))))
    assert revision_of(url) == file.name[:14]
    assert "column users.nick" in schema_of(url)
    has_its_snapshots(source_copy, file, done.stderr, url)


def has_its_snapshots(source_copy: SourceCopy, file: Path, said: str, url: str) -> None:
    """Those that can be made were, without the database of the developer, and are what an upgrade makes."""
    kept = {path.parent.name: path for path in source_copy.folder.glob(f"alembic/snapshots/*/{file.name[:14]}.json")}
    with db.migration_engine(url).connect() as connection:
        dialect = connection.dialect.name
        assert kept[dialect].read_text(encoding="utf-8") == snapshots.as_json(snapshots.take(connection))
    # For a database of SQLite, PostgreSQL's is made on the authors' throw-away server.
    assert f"Snapshots of {file.name}: made for sqlite and postgresql\n" in said
    assert sorted(kept) == ["postgresql", "sqlite"]


@pytest.mark.exhaustive
def test_a_name_is_not_made_up(source_copy: SourceCopy, sqlite_head: str, approve: Approve) -> None:
    source_copy.edit("auth.py", (ABOVE, NICK + ABOVE))
    done = dev(source_copy, url=sqlite_head)
    assert (done.returncode, done.stdout, source_copy.written()) == (2, "", [])
    approve("dev_nameless.txt", unstamped(done.stderr))


@pytest.mark.exhaustive
def test_without_an_edit_it_applies_what_is_pending_and_that_is_all(
    project: ProjectCopy, at: At, monkeypatch: pytest.MonkeyPatch, approve: Approve
) -> None:
    monkeypatch.setenv("ALEMBIC_CONFIG", str(project.ini))
    url = at(REVISIONS[-2])
    database = database_url.shown(database_url.parse(url))
    for applied in [HEAD], []:
        done = develop(PROJECT, db.migration_engine(url))
        assert done == Development(database, HEAD, applied, [], [])
    approve("dev_unchanged.txt", texts.development(done).text.replace(database, "PLACE") + "\n")


def test_a_database_that_is_ahead_is_left_alone(project: ProjectCopy, at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALEMBIC_CONFIG", str(project.ini))
    url = at(HEAD)
    execute(url, "UPDATE alembic_version SET version_num = '20991231235959'")
    with pytest.raises(HistoryError, match="20991231235959"):
        develop(PROJECT, db.migration_engine(url))
    assert revision_of(url) == "20991231235959"


# --- at a terminal --------------------------------------------------------------------------------------------


@pytest.mark.exhaustive
@pytest.mark.parametrize("at", ONE_A_DAY, indirect=True)
def test_names_and_renames_are_asked_about(source_copy: SourceCopy, at: At, approve: Approve) -> None:
    url = at(HEAD)
    source_copy.edit("auth.py", (ABOVE, NICK + ABOVE))
    schema = "-m", "app.cli", "dev"
    code, first = typed(source_copy, *schema, url=url, answers=[("[add users.nick]: ", "\n")])
    assert code == 0, first
    execute(
        url,
        "INSERT INTO users (id, github_user_id, nick, created_at, updated_at) VALUES "
        "('00000000000000000000000000000001', 1, 'ada', '2026-01-01', '2026-01-01')",
    )

    source_copy.edit("auth.py", (NICK, NICKNAME))
    question = ("Was users.nick renamed to users.nickname? [y/N] ", "y\n")
    code, second = typed(source_copy, *schema, url=url, answers=[question, ("]: ", "friends' word\n")])
    assert code == 0, second
    assert query(url, "SELECT nickname FROM users") == [("ada",)]
    assert source_copy.written()[-1].name[14:] == "_friends_word.py"
    approve("dev_terminal.txt", unstamped(f"{first}\n{second}", url, database_url.shown(database_url.parse(url))))


@pytest.mark.exhaustive  # another answer at the terminal, where one is given every day
def test_a_rename_that_is_none_is_a_drop_and_an_add(source_copy: SourceCopy, sqlite_head: str) -> None:
    source_copy.edit("auth.py", ("    github_token_expires_at: Mapped", "    expires_at: Mapped"))
    alembic = "-m", "alembic", "revision", "--autogenerate", "-m", "drop and add"
    code, screen = typed(source_copy, *alembic, url=sqlite_head, answers=[("[y/N] ", "\n")])
    assert code == 0, screen
    text = "".join(file.read_text(encoding="utf-8") for file in source_copy.written())
    assert 'op.drop_column("users", "github_token_expires_at")' in text
    assert "new_column_name" not in text


@pytest.mark.exhaustive  # another answer at the terminal, where one is given every day
def test_a_question_that_is_not_answered_ends_it(source_copy: SourceCopy, sqlite_head: str) -> None:
    source_copy.edit("auth.py", (ABOVE, NICK + ABOVE))
    code, screen = typed(source_copy, "-m", "app.cli", "dev", url=sqlite_head, answers=[("]: ", "\x04")])
    assert code == 130, screen
    assert "Traceback" not in screen
    assert source_copy.written() == []


# --- whose database it is -------------------------------------------------------------------------------------

LOCAL = [
    "sqlite:///x.db",
    "sqlite://",
    "postgresql://localhost/x",
    "postgresql://user:secret@127.0.0.1:5433/x",
    "postgresql://127.9.9.9/x",
    "postgresql://[::1]/x",
    "postgresql:///x",
    "postgresql:///x?host=/var/run/postgresql",
    "postgresql:///x?host=localhost&host=127.0.0.1",
    "postgresql://db.example/x?hostaddr=127.0.0.1",
]
REMOTE = [
    "postgresql://db.example/x",
    "postgresql://user:secret@10.0.0.1/x",
    "postgresql://localhost.example/x",
    "postgresql://[2001:db8::1]/x",
    "postgresql:///x?host=localhost&host=db.example",
    "postgresql:///x?host=db.example",
    "postgresql://localhost/x?hostaddr=10.0.0.1",
    "postgresql:///x?service=production",
]


@pytest.mark.parametrize("url", LOCAL)
def test_a_local_database_is_welcome(url: str) -> None:
    require_local(database_url.parse(url))


@pytest.mark.parametrize("url", REMOTE)
def test_a_database_on_another_machine_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="--remote") as refusal:
        require_local(database_url.parse(url))
    assert "secret" not in str(refusal.value)


def test_a_remote_database_is_used_when_the_option_says_so() -> None:
    engine = db.migration_engine("postgresql:///x?service=there_is_none")
    with pytest.raises(ConfigurationError, match="there_is_none"):
        develop(PROJECT, engine)
    with pytest.raises(DatabaseUnreachable, match="Can't connect"):
        develop(PROJECT, engine, remote=True)


# --- what a revision is called --------------------------------------------------------------------------------
