"""The committed snapshots: fresh, and the same whatever the server, the search path and the order of things."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.migrations import commands, snapshots
from app.migrations.errors import HistoryError, MigrationError
from app.migrations.snapshots import Snapshots, kind_of
from app.project import PROJECT
from tests.support.alembic_in_process import HEAD, scripts, upgrade
from tests.support.approved_texts import Approve
from tests.support.database_access import connected, engine, execute, query
from tests.support.databases import Servers, database
from tests.support.editable_project import EditableProject
from tests.support.schema_in_process import schema

pytestmark = pytest.mark.in_turn


def test_the_committed_snapshots_are_fresh(url: str) -> None:
    stale = commands.stale_snapshots(PROJECT, engine(url))
    assert not stale, f"make them anew on each kind of database, and commit them: schema snapshot ({stale})"
    with connected(url) as connection:
        assert sa.inspect(connection).get_table_names() == []


def test_every_revision_has_its_snapshots() -> None:
    kept = Snapshots(PROJECT.config())
    revisions = {revision.revision for revision in scripts().walk_revisions()}
    for dialect in ("sqlite", "postgresql"):
        odd = sorted(kept.saved(dialect) ^ revisions)
        assert not odd, (
            f"of {', '.join(odd)} make the snapshots on a {dialect} database, and commit them: schema snapshot"
        )


@pytest.mark.exhaustive
def test_a_revision_without_a_snapshot_fails_with_the_command_to_run(
    editable: EditableProject, sqlite_url: str, approve: Approve
) -> None:
    revision = editable.add('op.add_column("users", sa.Column("nick", sa.String(50)))')
    (editable.snapshots / "sqlite" / "20200101000000.json").write_text("{}", encoding="utf-8")
    file = editable.snapshots / "sqlite" / f"{HEAD}.json"
    file.write_text(file.read_text(encoding="utf-8").replace("VARCHAR(500)", "VARCHAR(499)"), encoding="utf-8")
    variables = {"DATABASE_URL": sqlite_url, "ALEMBIC_CONFIG": str(editable.ini)}
    done = schema("snapshot", "--check", **variables)
    assert done.returncode == 1
    approve("snapshot_check.txt", done.stdout.replace(str(editable.folder), "PLACE"))
    assert schema("snapshot", **variables).returncode == 0
    assert '"column users.nick"' in (editable.snapshots / "sqlite" / f"{revision}.json").read_text(encoding="utf-8")
    assert commands.stale_snapshots(PROJECT, engine(sqlite_url)) == []
    assert not Path(sqlite_url.removeprefix("sqlite:///")).exists()


def test_a_check_without_a_snapshot_is_refused(editable: EditableProject, heads: Callable[[str], str]) -> None:
    (editable.snapshots / "sqlite" / f"{HEAD}.json").unlink()
    with pytest.raises(HistoryError, match=r"schema snapshot$"):
        commands.check(PROJECT, engine(heads("sqlite")))


def test_the_order_of_things_does_not_count(head_url: str) -> None:
    before = _text(head_url)
    sql = {
        "sqlite": "SELECT sql FROM sqlite_master WHERE name = 'idx_request_logs_time'",
        "postgresql": "SELECT pg_get_indexdef('idx_request_logs_time'::regclass)",
    }
    ((definition,),) = query(head_url, sql[engine(head_url).dialect.name])
    execute(head_url, "DROP INDEX idx_request_logs_time", str(definition))
    assert _text(head_url) == before

    with engine(head_url).connect() as connection:
        taken = snapshots.take(connection)
    columns = [name for name in taken if kind_of(name) == "column"]
    others = [name for name in taken if kind_of(name) != "column"]
    for seed in range(5):
        random.Random(seed).shuffle(others)
        assert snapshots.as_json(snapshots.in_order({name: taken[name] for name in [*others, *columns]})) == before


@pytest.mark.exhaustive
def test_the_search_path_does_not_count(postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2]
    execute(
        postgres_url,
        'CREATE SCHEMA "Ours"',
        f'ALTER DATABASE {name} SET search_path = "Ours", public, pg_temp',
        "CREATE TABLE public.decoys (id integer)",
    )
    upgrade(postgres_url)
    with engine(postgres_url).connect() as connection:
        taken = snapshots.take(connection)
        assert connection.exec_driver_sql("SHOW search_path").scalar() == '"Ours", public, pg_temp'
    assert taken == Snapshots(PROJECT.config()).of("postgresql", HEAD)


def test_a_role_that_may_not_make_a_database_is_told(role: str) -> None:
    with pytest.raises(MigrationError, match=r"permission denied to create database\. Use a role that has CREATEDB\.$"):
        commands.snapshot(PROJECT, engine(role))


@pytest.fixture
def role(servers: Servers, tmp_path: Path) -> Iterator[str]:
    """The URL of a database, for a role without rights."""
    with database("postgresql", servers, tmp_path) as url:
        execute(url, "CREATE ROLE nobody_much LOGIN")
        yield url.replace("postgres@", "nobody_much@")
        execute(url, "DROP ROLE nobody_much")


def test_reading_changes_nothing(heads: Callable[[str], str], tmp_path: Path) -> None:
    file = Path(heads("sqlite").removeprefix("sqlite:///"))
    before = file.read_bytes()
    assert commands.check(PROJECT, engine(heads("sqlite"))).code == "ok"
    assert file.read_bytes() == before
    assert schema("check", DATABASE_URL=f"sqlite:///{tmp_path}/none.db").returncode == 3
    assert not list(tmp_path.glob("none.db*"))


GENERATED = {
    "g int GENERATED ALWAYS AS (a+1) STORED": "(a+1) STORED",
    "g int AS (a+1)": "(a+1) VIRTUAL",
    "g int AS ((a) + (1)) VIRTUAL, b int CHECK (b > 0)": "((a) + (1)) VIRTUAL",
    "g text generated always as (a || ') STORED') STORED NOT NULL CHECK (g <> '(')": "(a || ') STORED') STORED",
    '"g" int CONSTRAINT c CHECK (g > 0) AS (CAST(a AS int)) -- STORED': "(CAST(a AS int)) VIRTUAL",
    "g int DEFAULT (1)": None,
}


@pytest.mark.parametrize("column", GENERATED)
def test_a_generated_column_is_its_expression_and_how_it_is_kept(column: str, sqlite_url: str) -> None:
    execute(sqlite_url, f"CREATE TABLE t (a int, {column}\n)")
    with engine(sqlite_url).connect() as connection:
        assert snapshots.take(connection)["column t.g"].get("generated") == GENERATED[column]


CONSTRAINTS = {
    "b int REFERENCES o (id) ON DELETE CASCADE": "FOREIGN KEY (b) REFERENCES o(id) ON DELETE CASCADE",
    "b int REFERENCES o": "FOREIGN KEY (b) REFERENCES o(id)",
    "b int, FOREIGN KEY ([b]) REFERENCES `o` ON UPDATE SET NULL": "FOREIGN KEY (b) REFERENCES o(id) ON UPDATE SET NULL",
    "b REFERENCES o DEFERRABLE INITIALLY DEFERRED": "FOREIGN KEY (b) REFERENCES o(id) DEFERRABLE INITIALLY DEFERRED",
    "b varchar(10) UNIQUE": "UNIQUE (b)",
    "b text, UNIQUE (b COLLATE NOCASE DESC)": "UNIQUE (b COLLATE NOCASE DESC)",
    "b text DEFAULT 'CHECK (1)' CHECK (b <>\n 'x')": "CHECK (b <> 'x')",
}


@pytest.mark.parametrize("column", CONSTRAINTS)
def test_a_constraint_of_a_column_is_read_as_sqlite_reports_it(column: str, sqlite_url: str) -> None:
    execute(sqlite_url, "CREATE TABLE o (id integer PRIMARY KEY)", f"CREATE TABLE t (a int, {column})")
    with engine(sqlite_url).connect() as connection:
        taken = snapshots.take(connection)
    definitions = [facts["definition"] for name, facts in taken.items() if name.startswith("constraint t.")]
    assert definitions == [CONSTRAINTS[column]]


def _text(url: str) -> str:
    with engine(url).connect() as connection:
        return snapshots.as_json(snapshots.take(connection))
