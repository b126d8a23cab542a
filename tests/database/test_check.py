"""`schema check`: each kind of drift is named, and nothing else; each way out ends in a clean check."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from alembic import command

from app.cli import texts
from app.migrations import commands, snapshots
from app.migrations.drift import Claim
from app.migrations.drift.check import compare
from app.migrations.errors import ConfigurationError, DataLossRefused, DriftDetected, MigrationError, PendingRevisions
from app.migrations.run import status
from app.project import PROJECT
from app.triggers import updated_at_trigger
from tests.support.alembic_in_process import (
    HEAD,
    REVISIONS,
    command_line,
    config,
    downgrade,
    revision_of,
    scripts,
    upgrade,
)
from tests.support.approved_texts import Approve, plain
from tests.support.database_access import engine, query
from tests.support.databases import ONE_A_DAY, At, Servers, database
from tests.support.drift_cases import ENCRYPTS, KINDS, Kind
from tests.support.editable_project import EditableProject, by_hand
from tests.support.environment import variables
from tests.support.known_keys import KEY
from tests.support.schema_dump import schema_of
from tests.support.schema_in_process import schema

SERVERS = ("sqlite", "postgresql", "postgresql17")
# One of each sort; the others go all the way in the exhaustive run, while each is named every day.
ALL_THE_WAY = {"column renamed", "constraint not valid", "trigger changed"}
REVERTED = ALL_THE_WAY | {
    "index with another predicate",
    "column dropped",
    "table too few",
    "ids that count",
    "sequence changed",
    "view added",
}


def cases(everyday: set[str] | None = None) -> list[Any]:
    """Every kind on every database that knows it; with `everyday`, the others are for the exhaustive run."""
    return [
        pytest.param(
            where,
            kind,
            id=f"{kind.name}, {where}",
            marks=[] if _every_day(where, kind, everyday) else [pytest.mark.exhaustive],
        )
        for kind in KINDS
        for where in SERVERS
        if kind.statements(where)
    ]


def _every_day(where: str, kind: Kind, everyday: set[str] | None) -> bool:
    return where != "postgresql17" and (everyday is None or kind.name in everyday)


New = Callable[[str], str]
SCRIPT = scripts()


@pytest.fixture
def new(heads: Callable[[str], str], servers: Servers, tmp_path: Path) -> Iterator[New]:
    """Makes databases at head of a kind."""
    with ExitStack() as exits:
        yield lambda where: exits.enter_context(database(where, servers, tmp_path, template=heads(where)))


def said(url: str) -> list[str]:
    """What `check` has to say, a line for each difference."""
    found = commands.check(PROJECT, engine(url))
    return [*map(str, found.drift.open), *found.wanted]


def is_named(lines: list[str], kind: Kind) -> None:
    assert len(lines) == len(kind.named), lines
    for line, beginning in zip(lines, kind.named, strict=True):
        assert line.startswith(beginning), line


def test_there_are_enough_kinds() -> None:
    for where in ("sqlite", "postgresql"):
        assert len([kind for kind in KINDS if kind.statements(where)]) >= 25
    assert len({kind.name for kind in KINDS}) == len(KINDS)


@pytest.mark.in_turn
@pytest.mark.parametrize(("where", "kind"), cases())
def test_drift_is_named(where: str, kind: Kind, request: pytest.FixtureRequest) -> None:
    if where == "sqlite":
        url = request.getfixturevalue("new")(where)
        by_hand(url, *kind.statements(where))
        is_named(said(url), kind)
        return
    template = request.getfixturevalue("heads")(where)
    with engine(template).connect() as connection:  # what is rolled back needs no database of its own
        for statement in kind.statements(where):
            connection.exec_driver_sql(statement.replace("%", "%%"))
        found = compare(connection, PROJECT.config(), SCRIPT, status.read_status(connection, PROJECT, SCRIPT, ""))
        connection.rollback()
    is_named([*map(str, found.drift.open), *found.wanted], kind)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("where", "kind"), cases(REVERTED))
def test_drift_is_named_and_reverted(where: str, kind: Kind, new: New) -> None:
    url = new(where)
    before = schema_of(url)
    by_hand(url, *kind.statements(where))
    is_named(said(url), kind)
    planned, risks = commands.plan_revert(PROJECT, engine(url))
    assert planned.all
    assert not risks
    commands.revert(PROJECT, engine(url))
    assert said(url) == []
    assert schema_of(url) == before


@pytest.mark.exhaustive
@pytest.mark.parametrize(("where", "kind"), [case for case in cases(ALL_THE_WAY) if case.values[0] in SERVERS[:2]])
def test_drift_is_accepted(where: str, kind: Kind, new: New) -> None:
    url = new(where)
    by_hand(url, *kind.statements(where))
    for name in {difference.name for difference in commands.check(PROJECT, engine(url)).drift.open}:
        commands.accept(PROJECT, name, "it is meant", engine(url))
    found = commands.check(PROJECT, engine(url))
    assert (found.code, found.wanted) == ("ok", [])
    is_named([str(difference) for difference in found.drift.accepted], kind)
    assert [entry.reason for entry in commands.read_status(PROJECT, engine(url)).accepted] == ["it is meant"] * len(
        kind.named
    )
    assert not commands.plan_revert(PROJECT, engine(url))[0].all


@pytest.mark.exhaustive
@pytest.mark.one_database
@pytest.mark.parametrize(("where", "kind"), [case for case in cases(ALL_THE_WAY) if case.values[1].adoptable])
def test_drift_is_adopted_by_every_database(where: str, kind: Kind, new: New, editable: EditableProject) -> None:
    url, other = new(where), new(where)
    pristine = schema_of(other)
    by_hand(url, *kind.statements(where))
    changed = schema_of(url)

    done = commands.write_revision(PROJECT, "Take over what is there", engine(url))
    editable.edit_models(kind.models)
    assert said(url) == kind.wanted
    assert schema_of(url) == changed
    assert revision_of(url) == done.revision
    upgrade(other, done.revision, editable.ini)
    assert said(other) == kind.wanted
    assert schema_of(other) == changed
    downgrade(other, HEAD, editable.ini)
    assert schema_of(other) == pristine


@pytest.mark.exhaustive
def test_an_adopted_default_means_the_same_on_the_other_kind(new: New, editable: EditableProject) -> None:
    postgres_head, sqlite_head = new("postgresql"), new("sqlite")
    by_hand(postgres_head, "ALTER TABLE users ADD COLUMN level VARCHAR(9) DEFAULT 'low' NOT NULL")
    done = commands.write_revision(PROJECT, "Take over the level", engine(postgres_head))
    upgrade(sqlite_head, done.revision, editable.ini)
    question = "SELECT dflt_value FROM pragma_table_info('users') WHERE name = 'level'"
    assert query(sqlite_head, question) == [("'low'",)]


@pytest.mark.exhaustive
def test_a_trace_of_the_history_is_a_note(head_url: str, editable: EditableProject) -> None:
    made = 'op.create_table("notes", sa.Column("id", sa.Text()), sa.PrimaryKeyConstraint("id", name="notes_pkey"))'
    editable.snap(head_url, editable.add(f'{made}\nop.rename_table("notes", "remarks")'))
    editable.edit_models('sa.Table("remarks", metadata, sa.Column("id", sa.Text, primary_key=True))')
    note = "constraint remarks.remarks_pkey is called notes_pkey here"
    done = schema("check", DATABASE_URL=head_url, ALEMBIC_CONFIG=str(editable.ini))
    assert (done.returncode, done.stdout.splitlines().count(f"Note: {note}")) == (0, 1), done.stdout
    done = schema("check", "--json", DATABASE_URL=head_url, ALEMBIC_CONFIG=str(editable.ini))
    assert note in json.loads(done.stdout)["notes"]
    done = command_line("check", env=variables(head_url), folder=editable.folder)
    assert (done.returncode, done.stderr.splitlines().count(f"Not a difference: {note}")) == (0, 1), done.stderr


@pytest.mark.exhaustive
def test_accepted_drift_is_reported_again_when_it_changes(head_url: str) -> None:
    by_hand(head_url, "ALTER TABLE users ADD COLUMN nick VARCHAR(50)")
    commands.accept(PROJECT, "column users.nick", "it is meant", engine(head_url))
    assert said(head_url) == []
    by_hand(head_url, "ALTER TABLE users DROP COLUMN nick", "ALTER TABLE users ADD COLUMN nick VARCHAR(60)")
    assert len(said(head_url)) == 1
    by_hand(head_url, "ALTER TABLE users DROP COLUMN nick", "ALTER TABLE users ADD COLUMN nick VARCHAR(50)")
    assert said(head_url) == []


@pytest.mark.exhaustive
def test_a_deploy_puts_up_with_what_is_accepted(head_url: str) -> None:
    by_hand(head_url, "CREATE INDEX users_created_at_idx ON users (created_at)")
    with pytest.raises(DriftDetected):
        commands.deploy(PROJECT, engine(head_url))
    commands.accept(PROJECT, "index users.users_created_at_idx", "the analysts need it", engine(head_url))
    assert commands.deploy(PROJECT, engine(head_url)).applied == []


def test_only_what_differs_is_accepted_and_with_a_reason(head_url: str) -> None:
    by_hand(head_url, "ALTER TABLE users ADD COLUMN nick VARCHAR(50)")
    for name, reason in (("column users.id", "it is meant"), ("column users.nick", " ")):
        with pytest.raises(ConfigurationError):
            commands.accept(PROJECT, name, reason, engine(head_url))
    assert commands.read_status(PROJECT, engine(head_url)).accepted == []


@pytest.mark.parametrize("reason", ["", " ", "\t\n"])
def test_a_reason_is_asked_for_before_anything_is_compared(reason: str) -> None:
    nowhere = engine("postgresql://nobody@127.0.0.1:1/nowhere")
    with pytest.raises(ConfigurationError, match=r"^--accept needs a --reason"):
        commands.accept(PROJECT, "column users.nick", reason, nowhere)
    with pytest.raises(ConfigurationError, match=r"^--force needs a --reason"):
        commands.resolve(PROJECT, Claim(HEAD, True, True, reason), nowhere)


@pytest.mark.exhaustive
def test_values_are_not_lost_unasked(head_url: str) -> None:
    provider = "INSERT INTO service_providers (id, name, base_url, protocol) VALUES (1, 'a', 'b', 'c')"
    by_hand(head_url, provider, "ALTER TABLE service_providers ADD COLUMN region VARCHAR(50)")
    by_hand(head_url, "CREATE TABLE notes (id INTEGER NOT NULL)", "INSERT INTO notes VALUES (1)")
    assert commands.plan_revert(PROJECT, engine(head_url))[1] == ["drop_table notes: 1 row"]
    by_hand(head_url, "UPDATE service_providers SET region = 'eu'")
    before = schema_of(head_url)
    with pytest.raises(DataLossRefused, match=r"drop_column service_providers\.region: 1 row"):
        commands.revert(PROJECT, engine(head_url))
    assert schema_of(head_url) == before
    commands.revert(PROJECT, engine(head_url), accept_data_loss=True)
    assert said(head_url) == []
    assert query(head_url, "SELECT name FROM service_providers") == [("a",)]


def test_a_revert_proves_what_it_did(head_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand(head_url, "DROP TABLE service_audit_logs")
    before = schema_of(head_url)
    monkeypatch.setattr(snapshots, "plan", lambda *_: snapshots.Plan(statements=["CREATE TABLE other (id INTEGER)"]))
    with pytest.raises(MigrationError, match="still isn't what") as refusal:
        commands.revert(PROJECT, engine(head_url))
    assert "table service_audit_logs: is not there" in str(refusal.value)
    assert schema_of(head_url) == before


@pytest.mark.exhaustive
def test_an_invalid_index_is_for_no_revision(new: New) -> None:
    url = new("postgresql")
    by_hand(url, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_request_logs_model'::regclass")
    with pytest.raises(ConfigurationError, match=r"schema check --revert$"):
        commands.write_revision(PROJECT, "no", engine(url))


@pytest.mark.exhaustive
def test_rows_survive_what_is_reverted(head_url: str) -> None:
    by_hand(
        head_url,
        "INSERT INTO service_providers (id, name, base_url, protocol) VALUES (1, 'a', 'b', 'c')",
        "INSERT INTO model_mappings (requested_model) VALUES ('m')",
        "INSERT INTO model_mapping_providers (id, requested_model, provider_id, target_model_name) "
        "VALUES (1, 'm', 1, 't')",
        "ALTER TABLE service_providers RENAME TO providers",
        "ALTER TABLE providers RENAME COLUMN name TO called",
        "ALTER TABLE providers ADD COLUMN region VARCHAR(50)",
    )
    assert len(said(head_url)) == 3
    commands.revert(PROJECT, engine(head_url))
    assert said(head_url) == []
    assert query(head_url, "SELECT p.name, m.id FROM service_providers p JOIN model_mapping_providers m ON true") == [
        ("a", 1)
    ]


@pytest.mark.exhaustive
def test_a_partitioned_table_is_one(new: New) -> None:
    url = new("postgresql")
    by_hand(
        url,
        "CREATE TABLE parts (at date) PARTITION BY RANGE (at)",
        "CREATE TABLE parts_2026 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
        "CREATE INDEX parts_at_idx ON parts (at)",
    )
    assert [str(difference) for difference in commands.check(PROJECT, engine(url)).drift.open] == [
        "table parts: is there, and should not be (kind 'partitioned', partitioned_by 'RANGE (at)')"
    ]
    commands.revert(PROJECT, engine(url))
    assert said(url) == []


@pytest.mark.exhaustive
def test_several_differences_at_once(head_url: str) -> None:
    by_hand(
        head_url,
        "ALTER TABLE users ADD COLUMN nick VARCHAR(50)",
        "ALTER TABLE users RENAME COLUMN is_whitelisted TO is_welcome",
        "DROP TABLE service_audit_logs",
        "CREATE VIEW welcome AS SELECT id FROM users WHERE is_welcome",
        "DROP INDEX idx_request_logs_time",
    )
    assert len(said(head_url)) == 5
    commands.revert(PROJECT, engine(head_url))
    assert said(head_url) == []


@pytest.mark.exhaustive
def test_plaintext_left_behind_is_unfinished(head_url: str, approve: Approve) -> None:
    provider = (
        "INSERT INTO service_providers (id, name, base_url, protocol, api_key) VALUES ({0}, 'a{0}', 'b', 'c', 'sk-1')"
    )
    by_hand(head_url, provider.format(1))
    assert said(head_url) == [f"revision {ENCRYPTS}: rows still to do is 1, should be 0"]
    assert not commands.plan_revert(PROJECT, engine(head_url))[0].all
    with pytest.raises(ConfigurationError, match="nothing to write"):
        commands.write_revision(PROJECT, "no", engine(head_url))
    commands.accept(PROJECT, f"revision {ENCRYPTS}", "a test provider", engine(head_url))
    assert said(head_url) == []
    by_hand(head_url, provider.format(2))
    assert said(head_url) == [f"revision {ENCRYPTS}: rows still to do is 2, should be 0"]
    approve("check/rows.txt", "\n".join(texts.ways_out(commands.check(PROJECT, engine(head_url)).drift)) + "\n")
    done = schema("secrets", "encrypt", DATABASE_URL=head_url, ENCRYPTION_KEY=KEY)
    assert done.returncode == 0, done.stderr
    assert said(head_url) == []


def test_an_adoption_needs_a_name(head_url: str) -> None:
    with pytest.raises(ConfigurationError, match="--message"):
        commands.write_revision(PROJECT, " ", engine(head_url))


def test_an_empty_database_is_called_so(sqlite_url: str) -> None:
    assert (
        f"\n\nThe database is empty.\n{len(REVISIONS)} pending"
        in texts.check(commands.check(PROJECT, engine(sqlite_url))).text
    )
    by_hand(sqlite_url, "CREATE TABLE notes (id INTEGER)")
    assert "\n\nNot empty:\n  table notes: is there" in texts.check(commands.check(PROJECT, engine(sqlite_url))).text


@pytest.mark.exhaustive
def test_an_older_database_is_compared_with_its_own_revision(at: At) -> None:
    url = at("20260110000000")
    found = commands.check(PROJECT, engine(url))
    assert (found.code, found.exit_code, found.drift.open, found.wanted) == ("pending", 3, [], [])
    by_hand(url, "ALTER TABLE users ADD COLUMN nick VARCHAR(50)")
    assert commands.check(PROJECT, engine(url)).exit_code == 8
    with pytest.raises(PendingRevisions):
        commands.write_revision(PROJECT, "no", engine(url))
    commands.revert(PROJECT, engine(url))
    assert commands.check(PROJECT, engine(url)).exit_code == 3


def test_a_declared_rename_is_what_the_models_want(head_url: str, editable: EditableProject) -> None:
    editable.edit_models(
        'old = tables["service_audit_logs"]\n'
        'new = old.to_metadata(metadata, name="audit_logs")\n'
        'new.info["renamed_from"] = old.name\n'
        "metadata.remove(old)"
    )
    assert said(head_url) == ["rename table service_audit_logs to audit_logs"]


@pytest.mark.exhaustive
def test_a_change_that_the_models_want_is_reported_once(head_url: str, editable: EditableProject) -> None:
    editable.edit_models('tables["users"].append_column(sa.Column("nick", sa.String(50)))')
    assert said(head_url) == ["add column users.nick"]
    by_hand(head_url, "ALTER TABLE users ADD COLUMN name VARCHAR(50)")
    assert [line.partition(":")[0] for line in said(head_url)] == ["column users.name", "add column users.nick"]


@pytest.mark.exhaustive
def test_unmanaged_objects_are_neither_compared_nor_reverted(head_url: str, editable: EditableProject) -> None:
    theirs = [
        "CREATE TABLE _prisma_migrations (id INTEGER NOT NULL)",
        "CREATE TABLE audit_users (id INTEGER NOT NULL, updated_at TIMESTAMP)",
        "CREATE INDEX audit_users_idx ON audit_users (id)",
        "ALTER TABLE users ADD COLUMN legacy_id INTEGER",
        "CREATE INDEX by_legacy_id ON users (legacy_id)",
        "CREATE VIEW audit_all AS SELECT id FROM audit_users",
        updated_at_trigger("audit_users").create(engine(head_url).dialect.name),
    ]
    by_hand(head_url, *theirs)
    assert len(commands.check(PROJECT, engine(head_url)).drift.open) == 5
    editable.configure(unmanaged="_prisma_migrations, audit_*, users.legacy_*")
    assert said(head_url) == []
    assert command.revision(config(head_url, editable.ini), "nothing", autogenerate=True) in (None, [])
    before = schema_of(head_url)
    by_hand(head_url, "ALTER TABLE users ADD COLUMN nick VARCHAR(50)")
    commands.revert(PROJECT, engine(head_url))
    assert schema_of(head_url) == before


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ONE_A_DAY, indirect=True)
def test_drift_is_checked_accepted_reverted_and_adopted_on_the_command_line(
    head_url: str, editable: EditableProject, approve: Approve
) -> None:
    transcript = []

    def check(*args: str) -> None:
        done = schema("check", *args, DATABASE_URL=head_url, ALEMBIC_CONFIG=str(editable.ini))
        transcript.append(f"$ schema check {shlex.join(args)}".rstrip())
        transcript.append(f"{done.stdout}{done.stderr}({done.returncode})\n")

    check()
    by_hand(
        head_url,
        "ALTER TABLE service_providers ADD COLUMN region VARCHAR(50)",
        "INSERT INTO service_providers (id, name, base_url, protocol, region) VALUES (1, 'a', 'b', 'c', 'eu')",
        "DROP INDEX idx_request_logs_time",
        "CREATE VIEW welcome AS SELECT id FROM users WHERE is_whitelisted",
    )
    check()
    check("--json")
    check("--accept", "view welcome")
    check("--accept", "view welcome", "--reason", "the analysts need it")
    check("--revert")
    check("--revert", "--yes")
    check("--write-revision", "-m", "Take over the region")
    check()
    text = plain("\n".join(transcript), editable.folder, head_url, Path(head_url.removeprefix("sqlite:///")).parent)
    new = r"\b20(?!24|25|260[12])\d{12}(?=\b|_)|(?<=At        )\d{14}"  # the head, and what is written after it
    text = re.sub(new, "REVISION", text).replace("python3 scripts/dev.py ", "")  # where `schema` isn't installed
    approve(f"check/walk.{engine(head_url).dialect.name}.txt", text)
