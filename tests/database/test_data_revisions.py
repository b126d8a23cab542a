"""The revisions that encrypt what is stored, with keys in the environment, on both databases."""

import json
import signal
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.encryption import FieldCipher, RawKey, State
from app.project import PROJECT
from tests.support.alembic_in_process import revision_of, scripts
from tests.support.command_processes import failed
from tests.support.database_access import connected, query, run
from tests.support.databases import ONE_A_DAY, At
from tests.support.environment import ROOT
from tests.support.known_keys import ENC_CIPHER, KEY, PASSPHRASE, TOKEN_CIPHER
from tests.support.project_copy import ProjectCopy
from tests.support.schema_in_process import schema
from tests.support.waiting import wait_until

# Keys and answers are dealt with before a database is asked.
one_a_day = pytest.mark.parametrize("at", ONE_A_DAY, indirect=True)


@dataclass(frozen=True)
class DataRevision:
    """One of the revisions, and the values it is about: the same one in each of its columns."""

    id: str
    parent: str
    table: str
    columns: tuple[str, ...]
    cipher: FieldCipher
    variable: str
    key: str
    another_key: str
    no_key: str

    @property
    def env(self) -> dict[str, str]:
        return {self.variable: self.key}

    def row_key(self, number: int, url: str) -> Any:
        """The key of a row as an operator is told it."""
        if self.table == "service_providers":
            return number
        return uuid.UUID(int=number) if "postgresql" in url else uuid.UUID(int=number).hex

    def store(self, url: str, values: Sequence[str | None]) -> None:
        required: dict[str, Any] = {"base_url": "https://one.example", "protocol": "openai"}
        unique, name = "name", "provider {}"
        if self.table == "users":
            required = {"updated_at": "2025-01-01 00:00:00.000000"}
            unique, name = "github_user_id", "{}"
        records = [
            required | {"id": self.row_key(n, url), unique: name.format(n)} | dict.fromkeys(self.columns, value)
            for n, value in enumerate(values)
        ]
        names = list(records[0])
        statement = f"INSERT INTO {self.table} ({', '.join(names)}) VALUES (:{', :'.join(names)})"
        with connected(url) as connection:
            connection.execute(sa.text(statement), records)

    def stored(self, url: str) -> list[str | None]:
        """The values by row; a row's columns hold the same or the like."""
        rows = query(url, f"SELECT {', '.join(self.columns)} FROM {self.table} ORDER BY id")
        assert all(len({self.plain(value) for value in row}) == 1 for row in rows)
        return [row[0] if row[0] is None else str(row[0]) for row in rows]

    def plain(self, value: object) -> object:
        """What a stored value stands for."""
        encrypted = isinstance(value, str) and self.cipher.state(value) is State.ENCRYPTED
        return self.cipher.decrypt(str(value)) if encrypted else value

    def encrypted(self, url: str) -> int:
        return sum(self.cipher.state(value) is State.ENCRYPTED for value in self.stored(url))


TOKENS = DataRevision(
    id="20251213000000",
    parent="20251212003212",
    table="users",
    columns=("github_access_token", "github_refresh_token"),
    cipher=TOKEN_CIPHER,
    variable="GITHUB_TOKEN_ENCRYPTION_KEY",
    key=PASSPHRASE,
    another_key="another passphrase, of 32 characters and more",
    no_key="a passphrase that is too short",
)
API_KEYS = DataRevision(
    id="20260228000000",
    parent="20260131000000",
    table="service_providers",
    columns=("api_key",),
    cipher=ENC_CIPHER,
    variable="ENCRYPTION_KEY",
    key=KEY,
    another_key=RawKey.generate(),
    no_key="bm90IGEga2V5LCBvYnZpb3VzbHk=",
)
PLAINTEXT = [
    "sk-plain-and-simple",
    "x",
    "ünïcode 🔑 'quoted' %s \\",
    "with:three:colons:inside",
    "  blanks around\t\n",
    "long " * 2000,
    "encoding: not a marker",
]
VECTORS = json.loads((ROOT / "tests/vectors/vectors_reject.json").read_text(encoding="utf-8"))


@pytest.fixture(params=[TOKENS, API_KEYS], ids=["tokens", "api_keys"])
def revision(request: pytest.FixtureRequest) -> DataRevision:
    made: DataRevision = request.param
    return made


def malformed(revision: DataRevision) -> list[str]:
    name = revision.cipher.format.name
    found = [vector["stored"] for vector in VECTORS if (vector["format"], vector["want"]) == (name, "malformed")]
    assert found
    return found


# --- what is encrypted, and what is not ---------------------------------------


@pytest.mark.in_turn
def test_plaintext_is_encrypted_and_nothing_else_is_touched(
    revision: DataRevision, project: ProjectCopy, at: At
) -> None:
    of_the_other_format = {TOKENS: API_KEYS, API_KEYS: TOKENS}[revision].cipher.encrypt("of the other format")
    plaintext = [*PLAINTEXT, str(of_the_other_format)]
    others = [None, "", str(revision.cipher.encrypt("encrypted before")), str(revision.cipher.encrypt("", label="it"))]
    url = at(revision.parent)
    revision.store(url, plaintext + others)
    done = project.alembic("upgrade", revision.id, url=url, env=revision.env)
    assert done.returncode == 0, done.stderr
    stored = revision.stored(url)
    assert stored[len(plaintext) :] == others
    assert all(revision.cipher.state(value) is State.ENCRYPTED for value in stored[: len(plaintext)])
    assert [revision.plain(value) for value in stored[: len(plaintext)]] == plaintext


@pytest.mark.exhaustive
@one_a_day
def test_a_second_time_nothing_changes(revision: DataRevision, project: ProjectCopy, at: At) -> None:
    url = at(revision.parent)
    revision.store(url, PLAINTEXT)
    project.alembic("upgrade", revision.id, url=url, env=revision.env)
    stored = revision.stored(url)
    for command in (("downgrade", revision.parent), ("upgrade", revision.id)):
        assert project.alembic(*command, url=url).returncode == 0  # needs no key
        assert revision.stored(url) == stored


@one_a_day
def test_no_key_is_needed_where_nothing_is_to_be_encrypted(
    revision: DataRevision, project: ProjectCopy, at: At
) -> None:
    url, values = at(revision.parent), [None, "", str(revision.cipher.encrypt("encrypted before"))]
    revision.store(url, values)
    assert project.alembic("upgrade", revision.id, url=url).returncode == 0
    assert revision.stored(url) == values


def test_plaintext_that_is_left_is_counted_by_row_and_without_a_key(revision: DataRevision, at: At) -> None:
    url = at(revision.parent)
    revision.store(url, [*PLAINTEXT, None, "", str(revision.cipher.encrypt("encrypted")), *malformed(revision)])
    module = scripts().get_revision(revision.id).module
    with connected(url) as connection:
        assert module.verify(connection) == len(PLAINTEXT)


# --- what makes no sense ------------------------------------------------------


@pytest.mark.exhaustive
def test_malformed_values_are_named_and_left_alone_and_the_rest_is_done(
    revision: DataRevision, project: ProjectCopy, at: At
) -> None:
    url, broken = at(revision.parent), malformed(revision)
    revision.store(url, ["first", *broken, "last"])
    line = failed(project.alembic("upgrade", revision.id, url=url, env=revision.env), 1, "first", "last", *broken)
    for number in range(1, len(broken) + 1):
        for column in revision.columns:
            assert f"{column} of {revision.row_key(number, url)}" in line
    assert "run the same command again" in line
    assert revision.stored(url)[1:-1] == broken
    assert revision.encrypted(url) == 2
    assert revision_of(url) == revision.parent

    for column in revision.columns:
        for number in range(1, len(broken) + 1):
            repaired = f"UPDATE {revision.table} SET {column} = :value WHERE id = :id"
            run(url, repaired, value=f"repaired {number}", id=revision.row_key(number, url))
    done = project.alembic("upgrade", revision.id, url=url, env=revision.env)
    assert done.returncode == 0, done.stderr
    expected = ["first", *(f"repaired {number + 1}" for number in range(len(broken))), "last"]
    assert [revision.plain(value) for value in revision.stored(url)] == expected
    assert revision_of(url) == revision.id


# --- keys ---------------------------------------------------------------------


def test_without_a_key_nothing_is_written(revision: DataRevision, project: ProjectCopy, at: At) -> None:
    url = at(revision.parent)
    revision.store(url, PLAINTEXT)
    line = failed(project.alembic("upgrade", revision.id, url=url), 2, "sk-plain")
    assert revision.variable in line
    assert "schema secrets keygen" in line
    assert revision.stored(url) == PLAINTEXT
    assert revision_of(url) == revision.parent


def test_with_a_key_that_is_none_nothing_is_written(revision: DataRevision, project: ProjectCopy, at: At) -> None:
    url = at(revision.parent)
    revision.store(url, PLAINTEXT)
    env = {revision.variable: revision.no_key}
    line = failed(project.alembic("upgrade", revision.id, url=url, env=env), 2, "sk-plain", revision.no_key)
    assert revision.variable in line
    assert revision.stored(url) == PLAINTEXT


def test_a_key_that_opens_nothing_of_what_is_there_is_refused(
    revision: DataRevision, project: ProjectCopy, at: At
) -> None:
    url, values = at(revision.parent), ["sk-plain", str(revision.cipher.encrypt("encrypted before"))]
    revision.store(url, values)
    env = {revision.variable: revision.another_key}
    line = failed(project.alembic("upgrade", revision.id, url=url, env=env), 2, *values, revision.another_key)
    assert revision.variable in line
    assert revision.stored(url) == values


@one_a_day
def test_a_new_key_writes_beside_values_that_a_previous_key_opens(
    revision: DataRevision, project: ProjectCopy, at: At
) -> None:
    url, values = at(revision.parent), ["sk-plain", str(revision.cipher.encrypt("encrypted before"))]
    revision.store(url, values)
    env = {revision.variable: revision.another_key, f"{revision.variable}_PREVIOUS": revision.key}
    assert project.alembic("upgrade", revision.id, url=url, env=env).returncode == 0
    (first,), (second,) = [row[:1] for row in query(url, f"SELECT {revision.columns[0]} FROM {revision.table}")]
    assert {values[1]} < {str(first), str(second)}
    assert "sk-plain" not in (first, second)


# --- in the middle of it ------------------------------------------------------

_AT_SECOND_PAGE = """
import pathlib, time
import sqlalchemy
from app import backfill
backfill.backfill.__kwdefaults__["page_rows"] = 10
pages = []
def stop(connection, cursor, statement, *_):
    if "UPDATE {table} " in statement:
        pages.append(statement)
    if len(pages) == 2:
        pathlib.Path("stopped").touch()
        time.sleep(600)
sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", stop)
"""


@one_a_day
def test_a_killed_run_goes_on_where_it_stopped(
    revision: DataRevision, project: ProjectCopy, tmp_path: Path, at: At
) -> None:
    url, plaintext = at(revision.parent), [f"secret {number}" for number in range(15)]
    revision.store(url, plaintext)
    stopping = ProjectCopy(tmp_path)
    stopping.hook(_AT_SECOND_PAGE.format(table=revision.table))
    running = stopping.start("upgrade", revision.id, url=url, env=revision.env)
    wait_until((tmp_path / "stopped").exists)
    running.send(signal.SIGKILL)
    assert running.wait().returncode == -signal.SIGKILL
    stored = revision.stored(url)
    first = [value for value in stored if revision.cipher.state(value) is State.ENCRYPTED]
    assert 0 < len(first) < len(plaintext)

    done = project.alembic("upgrade", revision.id, url=url, env=revision.env)
    assert done.returncode == 0, done.stderr
    stored = revision.stored(url)
    assert [revision.plain(value) for value in stored] == plaintext
    assert set(first) <= set(stored)
    assert revision_of(url) == revision.id


_AFTER_THE_PAGE_WAS_READ = """
import os
import threading
import sqlalchemy
from app import db
from app.project import PROJECT
read, todo = [], [os.environ[name] for name in ("CHANGE",) if name in os.environ]
def write(statement):
    with db.migration_engine(PROJECT.database_url()).begin() as other:
        other.exec_driver_sql(statement)
def change(connection, cursor, statement, *_):
    # Statements of other threads (the search for blockers, our own write) may come at any moment of the page.
    if threading.current_thread() is not threading.main_thread():
        return
    if read and todo:
        another = threading.Thread(target=write, args=[todo.pop()])
        another.start()
        another.join()
    if "FROM {table} " in statement and "<=" in statement:
        read.append(statement)
sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", change)
"""


@pytest.mark.parametrize("theirs", ["'their value'", pytest.param("NULL", marks=pytest.mark.exhaustive)])
def test_a_value_that_another_session_writes_meanwhile_is_kept(
    theirs: str, revision: DataRevision, project: ProjectCopy, at: At
) -> None:
    url = at(revision.parent)
    revision.store(url, ["one", "two", "three"])
    assignments = ", ".join(f"{column} = {theirs}" for column in revision.columns)
    change = f"UPDATE {revision.table} SET {assignments} WHERE id = '{revision.row_key(1, url)}'"
    project.hook(_AFTER_THE_PAGE_WAS_READ.format(table=revision.table))
    done = project.process("upgrade", revision.id, url=url, env=revision.env | {"CHANGE": change})
    assert done.returncode == 0, done.stderr
    kept = {"'their value'": "their value", "NULL": None}[theirs]
    assert [revision.plain(value) for value in revision.stored(url)] == ["one", kept, "three"]
    assert revision.encrypted(url) == (3 if kept else 2)


# --- back ---------------------------------------------------------------------


@pytest.mark.exhaustive
def test_a_downgrade_leaves_ciphertext_unless_it_is_told_to_decrypt(
    revision: DataRevision, project: ProjectCopy, at: At
) -> None:
    url, values = at(revision.parent), [*PLAINTEXT, None, ""]
    revision.store(url, values)
    project.alembic("upgrade", revision.id, url=url, env=revision.env)
    stored = revision.stored(url)
    assert project.alembic("downgrade", revision.parent, url=url, env=revision.env).returncode == 0
    assert revision.stored(url) == stored

    project.alembic("upgrade", revision.id, url=url, env=revision.env)
    told = ("-x", "decrypt_secrets=yes", "downgrade", revision.parent)
    done = project.alembic(*told, url=url, env=revision.env)
    assert done.returncode == 0, done.stderr
    assert revision.stored(url) == values


@pytest.mark.exhaustive
@one_a_day
def test_decryption_needs_the_key(revision: DataRevision, project: ProjectCopy, at: At) -> None:
    url = at(revision.parent)
    revision.store(url, PLAINTEXT)
    project.alembic("upgrade", revision.id, url=url, env=revision.env)
    stored = revision.stored(url)
    told = ("-x", "decrypt_secrets=yes", "downgrade", revision.parent)
    assert revision.variable in failed(project.alembic(*told, url=url), 2)
    another = {revision.variable: revision.another_key}
    line = failed(project.alembic(*told, url=url, env=another), 1, revision.another_key)
    assert f"{revision.columns[0]} of {revision.row_key(0, url)}" in line
    assert (revision.stored(url), revision_of(url)) == (stored, revision.id)


@pytest.mark.parametrize("options", [["-x", "decrypt_secrets=maybe"], ["-x", "decrypt_secrets=yes", "--sql"]])
def test_an_answer_that_cannot_be_followed_is_refused(options: list[str], project: ProjectCopy, at: At) -> None:
    url, answer = at(TOKENS.id), options[:2]
    where = [f"{TOKENS.id}:{TOKENS.parent}", "--sql"] if "--sql" in options else [TOKENS.parent]
    done = project.alembic(*answer, "downgrade", *where, url=url, env=TOKENS.env)
    assert "decrypt" in failed(done, 1)
    assert revision_of(url) == TOKENS.id


# --- databases of version 0.1 -------------------------------------------------

FORMER = {revision: next(iter(checksums)) for revision, checksums in PROJECT.former_checksums.items()}


def as_recorded(url: str, checksums: Mapping[str, str]) -> None:
    """Gives the ledger other checksums of some revisions."""
    for revision, checksum in checksums.items():
        run(url, "UPDATE schema_ledger SET checksum = :value WHERE revision = :id", value=checksum, id=revision)


@pytest.mark.exhaustive
def test_a_database_of_version_0_1_goes_on(project: ProjectCopy, at: At) -> None:
    assert sorted(FORMER) == [TOKENS.id, API_KEYS.id]
    url = at(TOKENS.id)
    as_recorded(url, FORMER)
    assert project.alembic("upgrade", "head", url=url).returncode == 0
    as_recorded(url, FORMER)
    env = {"DATABASE_URL": url}
    status = json.loads(schema("status", "--json", **env).stdout)
    assert (status["code"], status["problems"]) == ("ok", [])
    assert "edited" not in schema("status", **env).stdout
    checked = schema("check", **env)
    assert checked.returncode == 0, checked.stdout
    later = project.add("pass")
    assert project.alembic("upgrade", "head", url=url).returncode == 0
    assert revision_of(url) == later


@pytest.mark.parametrize("edited", [TOKENS, API_KEYS], ids=["tokens", "api_keys"])
def test_an_edited_revision_of_version_0_1_is_refused(edited: DataRevision, project: ProjectCopy, at: At) -> None:
    url = at(API_KEYS.id)
    as_recorded(url, FORMER | {edited.id: "0" * 64})
    project.add("pass")
    assert edited.id in failed(project.alembic("upgrade", "head", url=url), 5)
    assert revision_of(url) == API_KEYS.id
    [problem] = json.loads(schema("status", "--json", DATABASE_URL=url).stdout)["problems"]
    assert f"The revision {edited.id} was edited after it was applied here" in problem["message"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
def test_a_key_that_can_be_guessed_is_warned_of_in_one_line(url: str, project: ProjectCopy) -> None:
    weak = {"ENCRYPTION_KEY": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}
    assert project.alembic("upgrade", "20260131000000", url=url).returncode == 0
    run(url, "INSERT INTO service_providers (name, base_url, protocol, api_key) VALUES ('a', 'b', 'openai', 'sk-1')")
    done = project.alembic("upgrade", "head", url=url, env=weak)
    warned = [line for line in done.stderr.splitlines() if "ENCRYPTION_KEY" in line]
    assert done.returncode == 0
    assert warned == [
        (
            "WARNING: ENCRYPTION_KEY is one byte repeated: it can be guessed. Make another with: schema secrets "
            "keygen, and move this one to ENCRYPTION_KEY_PREVIOUS."
        )
    ]
    assert ".py" not in done.stderr
