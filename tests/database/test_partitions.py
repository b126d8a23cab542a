"""A partitioned request_logs: partitions are its own, and beside the plain table there is no difference."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app import db
from app.errors import SchemaError
from app.migrations import commands, snapshots
from app.models import Base, RequestLog
from app.partitions import Partitioned, declared_partitions
from app.project import PROJECT
from tests.support.alembic_in_process import HEAD, REVISIONS, command_line, downgrade, revision_of, upgrade
from tests.support.command_processes import Done
from tests.support.database_access import connected, engine, execute
from tests.support.databases import ONE_A_DAY, Servers, database
from tests.support.editable_project import EditableProject
from tests.support.environment import variables
from tests.support.partitioned_database import TABLE, partition
from tests.support.schema_in_process import schema

KEY = f"constraint {TABLE}.{TABLE}_pkey: definition is 'PRIMARY KEY (id, request_time)', should be 'PRIMARY KEY (id)'"
REFERENCE = "constraint request_log_details.request_log_details_log_id_fkey"
PARTITIONED_BY = f"table {TABLE}: partitioned_by is 'RANGE (request_time)', should be not set"


@pytest.fixture(params=["postgresql", pytest.param("postgresql17", marks=pytest.mark.exhaustive)])
def url(request: pytest.FixtureRequest, heads: Callable[[str], str], servers: Servers, tmp_path: Path) -> Iterator[str]:
    """The URL of a database at head whose request_logs is partitioned."""
    with database(request.param, servers, tmp_path, template=heads(request.param)) as url:
        partition(url)
        yield url


@pytest.fixture
def undeclared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes the declaration away."""
    monkeypatch.delitem(Base.metadata.tables[TABLE].info, "partitioned")


def alembic(editable: EditableProject, url: str, *args: str) -> Done:
    return command_line(*args, env=variables(url) | {"ALEMBIC_CONFIG": str(editable.ini)}, folder=editable.folder)


def revision(editable: EditableProject, url: str) -> Done:
    return alembic(editable, url, "revision", "--autogenerate", "-m", "x")


def compared(url: str, metadata: sa.MetaData) -> list[str]:
    with connected(url) as connection:
        found = snapshots.take(connection)
        return [str(d) for d in snapshots.compare_with_models(connection, metadata, found).differences]


def test_nothing_differs(url: str, editable: EditableProject) -> None:
    assert revision(editable, url).stdout == "Nothing has changed: no revision was written.\n"
    assert alembic(editable, url, "check").returncode == 0
    assert schema("status", DATABASE_URL=url).returncode == 0
    checked = schema("check", DATABASE_URL=url)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "equals the models" in checked.stdout
    assert commands.plan_revert(PROJECT, engine(url))[0].all == []


def test_a_snapshot_has_no_partition(url: str) -> None:
    with connected(url) as connection:
        found = snapshots.take(connection)
    expected = snapshots.Snapshots(PROJECT.config()).of("postgresql", HEAD)
    # No unique key has the id alone, so nothing can refer to it.
    assert expected.keys() - found.keys() == {REFERENCE}
    assert found.keys() <= expected.keys()
    assert snapshots.in_plain_form(expected, found, PROJECT.partitions) == expected
    assert snapshots.in_plain_form(found, found, PROJECT.partitions) == found


@pytest.mark.exhaustive
def test_a_difference_of_the_partitioned_table_is_found_and_undone(url: str, editable: EditableProject) -> None:
    execute(url, f"DROP INDEX idx_{TABLE}_model", f"ALTER TABLE {TABLE} ADD COLUMN extra text")
    lines = schema("check", DATABASE_URL=url).stdout.splitlines()
    assert f"  column {TABLE}.extra: is there, and should not be (text)" in lines
    assert any(line.startswith(f"  index {TABLE}.idx_{TABLE}_model: is not there") for line in lines)
    assert revision(editable, url).returncode == 0
    texts = [file.read_text(encoding="utf-8") for file in sorted(editable.versions.glob("*.py"))[-2:]]
    bodies = [text.partition("def upgrade() -> None:\n")[2].partition("\n\n\n")[0] for text in texts]
    lines = [line.partition("(")[0].strip() for body in bodies for line in body.splitlines()]
    assert lines == ["with op.concurrently", "op.create_index", "op.drop_column"]
    commands.revert(PROJECT, engine(url), accept_data_loss=True)
    assert commands.check(PROJECT, engine(url)).drift.open == []


@pytest.mark.exhaustive
def test_a_difference_is_adopted_for_plain_tables(url: str, editable: EditableProject) -> None:
    execute(url, f"CREATE INDEX mine ON {TABLE} (trace_id)")
    done = schema("check", "--write-revision", "-m", "mine", DATABASE_URL=url, ALEMBIC_CONFIG=str(editable.ini))
    assert done.returncode == 0
    name = max(path.name for path in editable.versions.glob("*.py"))[:14]
    facts = snapshots.Snapshots(PROJECT.config()).of("postgresql", name)
    assert facts[f"index {TABLE}.mine"]["definition"] == f"CREATE INDEX mine ON {TABLE} USING btree (trace_id)"
    assert facts[f"constraint {TABLE}.{TABLE}_pkey"]["definition"] == "PRIMARY KEY (id)"
    assert facts[f"table {TABLE}"].keys() == {"comment"}


@pytest.mark.exhaustive
@pytest.mark.usefixtures("undeclared")
def test_what_is_not_declared_is_named(url: str, editable: EditableProject) -> None:
    unwritten = "".join(f"Nothing was written for: {line}\n" for line in (KEY, PARTITIONED_BY))
    assert revision(editable, url).stderr == unwritten
    assert alembic(editable, url, "check").returncode == 8
    found = commands.check(PROJECT, engine(url))
    assert [*map(str, found.drift.open), *found.wanted] == [KEY, PARTITIONED_BY]
    reverted = schema("check", "--revert", DATABASE_URL=url)
    assert (reverted.returncode, reverted.stderr.count("\n")) == (1, 1)
    assert "no statement changes how a table is partitioned" in reverted.stderr


@pytest.mark.parametrize(
    ("by", "key", "differences"),
    [
        ("RANGE (day)", "day, id", 0),
        ("RANGE (day)", "id, day", 0),
        ("RANGE (day, id)", "id, day", 2),
        ("LIST (day)", "id, day", 2),
        ("RANGE (day)", "id, day, hour", 1),
    ],
)
def test_only_the_declared_partition_key_is_equal(by: str, key: str, differences: int) -> None:
    names = "table t", "constraint t.t_pkey"
    plain: snapshots.Snapshot = dict(zip(names, ({}, {"definition": "PRIMARY KEY (id)"}), strict=True))
    facts = {"kind": "partitioned", "partitioned_by": by}, {"definition": f"PRIMARY KEY ({key})"}
    made = snapshots.in_plain_form(plain, dict(zip(names, facts, strict=True)), lambda: {"t": "day"})
    assert len(snapshots.differences(plain, made)) == differences


@pytest.mark.parametrize(
    "revisions", [1, pytest.param(len(REVISIONS), marks=pytest.mark.exhaustive)], ids=["last", "all"]
)
def test_revisions_go_down_and_up(url: str, revisions: int) -> None:
    for last in REVISIONS[::-1][:revisions]:
        downgrade(url, "-1", accept=[last])
        assert commands.check(PROJECT, engine(url)).drift.open == []
    upgrade(url)
    assert revision_of(url) == HEAD
    assert commands.check(PROJECT, engine(url)).exit_code == 0


def visits(*, declared: bool) -> sa.MetaData:
    metadata = sa.MetaData(naming_convention=Base.metadata.naming_convention)
    items: list[sa.schema.SchemaItem] = [Partitioned(by="Day")] if declared else []
    sa.Table(
        "Visits",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("Day", sa.Date, nullable=False),
        sa.Column("page", sa.Text),
        sa.UniqueConstraint("page"),
        sa.Index("first", sa.text("lower(page)"), unique=True, postgresql_where=sa.text("id > 0")),
        sa.Index("by_day", "page", "Day", unique=True),
        *items,
    )
    return metadata


VISITS = (
    'CREATE TABLE "Visits" (id serial, "Day" date NOT NULL, page text) PARTITION BY RANGE ("Day")',
    'ALTER TABLE "Visits" ADD CONSTRAINT "Visits_pkey" PRIMARY KEY ("Day", id)',
    'ALTER TABLE "Visits" ADD CONSTRAINT "Visits_page_key" UNIQUE (page, "Day")',
    'CREATE UNIQUE INDEX first ON "Visits" (lower(page), "Day") WHERE id > 0',
    'CREATE UNIQUE INDEX by_day ON "Visits" (page, "Day")',
    'CREATE TABLE own (id serial, "Day" date NOT NULL, page text)',
    'ALTER TABLE "Visits" ATTACH PARTITION own DEFAULT',
)


def test_unique_keys_are_widened_too(postgres_url: str) -> None:
    execute(postgres_url, *VISITS)
    assert compared(postgres_url, visits(declared=True)) == []
    undeclared = compared(postgres_url, visits(declared=False))
    assert [line.partition(" ")[2].partition(" ")[0] for line in undeclared] == [
        "Visits.Visits_page_key:",
        "Visits.Visits_pkey:",
        "Visits.first:",
        "Visits:",
    ]


def test_a_table_that_the_models_partition_is_compared_as_it_is(postgres_url: str) -> None:
    metadata = sa.MetaData(naming_convention=Base.metadata.naming_convention)
    parent = sa.Table("p", metadata, postgresql_partition_by="RANGE (day)")
    parent.append_column(sa.Column("id", sa.BigInteger, primary_key=True))
    parent.append_column(sa.Column("day", sa.Date, primary_key=True))
    sa.Index("i", parent.c.day)
    keys = sa.ForeignKeyConstraint(["p", "d"], ["p.id", "p.day"])
    sa.Table("c", metadata, sa.Column("p", sa.BigInteger), sa.Column("d", sa.Date), keys)
    with db.migration_engine(postgres_url).begin() as connection:
        metadata.create_all(connection)
    execute(
        postgres_url,
        "CREATE TABLE p_2026 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
        "CREATE TABLE p_default PARTITION OF p DEFAULT",
    )
    assert compared(postgres_url, metadata) == []
    metadata.tables["p"].dialect_options["postgresql"]["partition_by"] = "LIST (day)"
    assert compared(postgres_url, metadata) == ["table p: partitioned_by is 'RANGE (day)', should be 'LIST (day)'"]


@pytest.mark.parametrize("kind", ONE_A_DAY)
def test_a_plain_table_is_equal_as_well(
    kind: str, heads: Callable[[str], str], servers: Servers, tmp_path: Path
) -> None:
    declared = {TABLE: "request_time", "request_log_details": "request_time", "service_audit_logs": "created_at"}
    assert declared_partitions(Base.metadata) == declared
    with database(kind, servers, tmp_path, template=heads(kind)) as url:
        assert commands.check(PROJECT, engine(url)).exit_code == 0


def test_sqlite_ignores_the_declaration(sqlite_url: str) -> None:
    with connected(sqlite_url) as connection:
        Base.metadata.create_all(connection)
    assert compared(sqlite_url, Base.metadata) == []


def test_a_copy_of_the_models_declares_the_same() -> None:
    copy = sa.MetaData()
    RequestLog.metadata.tables[TABLE].to_metadata(copy)
    assert declared_partitions(copy) == {TABLE: "request_time"}


def test_the_partition_column_must_be_there() -> None:
    metadata = sa.MetaData()
    sa.Table("t", metadata, sa.Column("id", sa.Integer, key="day"), Partitioned(by="day"))
    with pytest.raises(SchemaError, match=r"^The models declare t as partitioned by day, and it has no such column\.$"):
        declared_partitions(metadata)
