"""`schema adopt`: databases of every origin are brought to head by their facts, or refused with the reason."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app import db
from app.project import PROJECT
from tests.support.alembic_in_process import HEAD, REVISIONS, forget, revision_of, run_alembic
from tests.support.command_processes import Done, failed
from tests.support.database_access import engine, execute, query
from tests.support.databases import OLDER, At, Servers, database
from tests.support.field_edits import EDITS, REFUSED, Edit
from tests.support.known_keys import ENVIRONMENT
from tests.support.legacy_databases import DUMPS, OldService, add_in_place, count_on, create_all, load
from tests.support.partitioned_database import partition
from tests.support.sample_rows import ENCRYPTED, common, fill, values_in
from tests.support.schema_dump import schema_of
from tests.support.schema_in_process import schema

pytestmark = pytest.mark.in_turn
ENCRYPTS = "20260228000000"


def adopt(url: str, *args: str) -> Done:
    return schema("adopt", *args, DATABASE_URL=url, **ENVIRONMENT)


def plan(url: str, *args: str) -> Any:
    """What a dry run finds, in JSON."""
    return json.loads(adopt(url, "--json", *args).stdout)


def groups(found: Any) -> set[tuple[str, str]]:
    return {(finding["name"], finding["group"]) for finding in found["findings"]}


def take_over(url: str, *args: str) -> Any:
    """Adopts a database, with everything that is promised of that; returns what the dry run said."""
    service = OldService(url)
    service.round()
    before, rows = schema_of(url), values_in(url)
    shown = adopt(url, *args)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    found = plan(url, *args)
    assert schema_of(url) == before  # nothing was changed
    done = adopt(url, "--apply", *args)
    assert done.returncode == 0, done.stderr
    is_head(url)
    for table, columns in common(rows, values_in(url)).items():
        after = values_in(url)[table]
        for column, values in columns.items():
            assert values == after[column] or column in ENCRYPTED, (table, column)
    service.round()
    assert service.lost() == 0
    again = adopt(url, "--apply", *args)
    assert (again.returncode, "nothing to adopt" in again.stdout) == (0, True), again.stderr
    return found


def is_head(url: str) -> None:
    assert revision_of(url) == HEAD
    checked = schema("check", DATABASE_URL=url, **ENVIRONMENT)
    assert checked.returncode == 0, checked.stdout
    upgraded = run_alembic("upgrade", "head", url=url, env=ENVIRONMENT)
    assert (upgraded.returncode, "nothing to do" in upgraded.stderr) == (0, True), upgraded.stderr


@pytest.mark.parametrize("dump", DUMPS)
def test_a_dump_is_adopted(dump: str, servers: Servers, tmp_path: Path) -> None:
    with database(DUMPS[dump][0], servers, tmp_path) as url:
        load(url, dump)
        take_over(url)


@pytest.mark.exhaustive
@pytest.mark.one_database
@pytest.mark.parametrize("revision", REVISIONS)
def test_a_database_of_each_revision_without_history_is_adopted(revision: str, at: At) -> None:
    url = at(revision)
    forget(url)
    fill(url, 1, 2)
    count_on(url)
    take_over(url)


@pytest.fixture
def without_history(at: At) -> Callable[[], str]:
    """Makes databases that are what head makes, with rows, and have no history."""

    def make() -> str:
        url = at(HEAD)
        forget(url)
        fill(url, 1, 2)
        count_on(url)
        return url

    return make


def statements(edits: list[Edit], url: str) -> list[str]:
    where = "sqlite" if "sqlite" in url else "postgresql"
    return [
        f"{statement} ON service_registry"
        if statement.startswith("DROP TRIGGER") and " ON " not in statement and where == "postgresql"
        else statement
        for edit in edits
        for statement in edit.on(where)
    ]


def expected_groups(edits: list[Edit], url: str) -> set[tuple[str, str]]:
    where = "sqlite" if "sqlite" in url else "postgresql"
    return {pair for edit in edits if edit.on(where) for pair in edit.groups.items()}


def test_all_edits_at_once_are_adopted(without_history: Callable[[], str]) -> None:
    url = without_history()
    execute(url, *statements(EDITS, url))
    found = take_over(url)
    assert not expected_groups(EDITS, url) - groups(found)
    kept = query(url, "SELECT count(*) FROM schema_ledger WHERE outcome = 'adopted' AND evidence LIKE '%request_logs%'")
    assert kept == [(1,)]


@pytest.mark.exhaustive
@pytest.mark.one_database
@pytest.mark.parametrize("seed", range(8))
def test_some_edits_are_adopted(seed: int, without_history: Callable[[], str]) -> None:
    url = without_history()
    edits = random.Random(seed).sample(EDITS, 6)
    execute(url, *statements(edits, url))
    found = take_over(url)
    assert not expected_groups(edits, url) - groups(found)


def test_what_needs_a_decision_is_refused(without_history: Callable[[], str]) -> None:
    url = without_history()
    execute(url, *statements(REFUSED, url))
    before = schema_of(url)
    found = plan(url)
    assert found["code"] == "person"
    assert {pair for pair in groups(found) if pair[1] == "person"} == expected_groups(REFUSED, url)
    refused = adopt(url, "--apply")
    assert refused.returncode == 8
    assert "FAILED: Nothing was changed" in refused.stderr
    assert all(name in refused.stderr for name, _ in expected_groups(REFUSED, url))
    assert (schema_of(url), revision_of(url)) == (before, None)


@pytest.mark.exhaustive
def test_both_services_in_one_database(servers: Servers, tmp_path: Path) -> None:
    with database("postgresql", servers, tmp_path) as url:
        load(url, "gateway of January 31")
        load(url, "auth of December")
        take_over(url)


@pytest.mark.exhaustive
@pytest.mark.parametrize("spelling", ["create_all", "in place"])
def test_both_spellings_of_a_column_are_adopted(spelling: str, url: str) -> None:
    create_all(url)
    if spelling == "in place":
        add_in_place(url)
    fill(url, 1, 2)
    count_on(url)
    found = take_over(url)
    assert ("column api_keys.record_details", "repaired" if spelling == "create_all" else "accepted") in groups(found)


@pytest.mark.exhaustive
@pytest.mark.parametrize("revision", ["20260131000000", HEAD])
def test_a_partitioned_table_is_adopted(
    revision: str, stops: Callable[[str, str], str | None], servers: Servers, tmp_path: Path
) -> None:
    with database("postgresql", servers, tmp_path, template=stops("postgresql", revision)) as url:
        forget(url)
        partition(url)
        take_over(url)


@pytest.mark.exhaustive
@pytest.mark.parametrize("at", ["postgresql", OLDER], indirect=True)
def test_a_foreign_table_beside_ours_is_left_alone(without_history: Callable[[], str]) -> None:
    url = without_history()
    execute(
        url,
        "CREATE FOREIGN DATA WRAPPER elsewhere",
        "CREATE SERVER far FOREIGN DATA WRAPPER elsewhere",
        "CREATE FOREIGN TABLE beside (id integer) SERVER far",
    )
    take_over(url)
    assert query(url, "SELECT relkind::text FROM pg_class WHERE relname = 'beside'") == [("f",)]


@pytest.mark.exhaustive
def test_a_view_where_head_has_a_table_needs_a_decision(without_history: Callable[[], str]) -> None:
    url = without_history()
    execute(url, "DROP TABLE revoked_tokens", "CREATE VIEW revoked_tokens AS SELECT 1 AS id")
    found = plan(url)
    assert (found["code"], ("table revoked_tokens", "person") in groups(found)) == ("person", True)


@pytest.mark.exhaustive
@pytest.mark.parametrize("left", ["empty", "of another history"])
def test_a_version_table_that_was_left(left: str, without_history: Callable[[], str]) -> None:
    url = without_history()
    execute(url, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    if left == "empty":
        take_over(url)
        return
    execute(url, "INSERT INTO alembic_version VALUES ('0012_more')")
    line = failed(adopt(url, "--apply"), 5)
    assert "0012_more" in line
    assert "ALTER TABLE alembic_version RENAME TO" in line


@pytest.mark.exhaustive
def test_unknown_objects_are_declared_unmanaged(without_history: Callable[[], str]) -> None:
    url = without_history()
    execute(
        url,
        "CREATE TABLE invoices (id integer PRIMARY KEY)",
        'CREATE TABLE "Old invoices" (id integer)',
        'CREATE TABLE "order" ("a.b" integer)',
        "ALTER TABLE users ADD COLUMN nick text",
    )
    unknown = [f"--unmanaged={name}" for name in ("invoices", "Old invoices", "order", "users.nick")]
    assert "--unmanaged 'Old invoices'" in adopt(url).stdout
    take_over(url, *unknown)
    execute(url, "ALTER TABLE invoices ADD COLUMN total integer")  # another program's affair
    is_head(url)
    status = schema("status", DATABASE_URL=url).stdout
    assert "Accepted  table invoices" in status
    assert "unmanaged: declared by the operator." in status


@pytest.mark.exhaustive
def test_another_search_path(servers: Servers, tmp_path: Path) -> None:
    with database("postgresql", servers, tmp_path) as url:
        name = url.rpartition("/")[2]
        execute(url, "CREATE SCHEMA gateway", f"ALTER DATABASE {name} SET search_path = gateway")
        load(url, "gateway of January 31")
        take_over(url)
        assert query(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


@pytest.mark.exhaustive
def test_tables_out_of_the_search_path_are_refused(servers: Servers, tmp_path: Path) -> None:
    with database("postgresql", servers, tmp_path) as url:
        name = url.rpartition("/")[2]
        execute(url, "CREATE SCHEMA gateway", f"ALTER DATABASE {name} SET search_path = gateway")
        load(url, "gateway of January 31")
        execute(url, f"ALTER DATABASE {name} RESET search_path")
        assert "SET search_path = gateway" in failed(adopt(url), 5)


@pytest.mark.parametrize(("table", "column"), [("service_providers", "name"), ("api_keys", "key_value")])
def test_a_unique_index_that_a_failed_build_left_is_built_anew(
    table: str, column: str, heads: Callable[[str], str], servers: Servers, tmp_path: Path
) -> None:
    name = f"{table}_{column}_key"
    with database("postgresql", servers, tmp_path, template=heads("postgresql")) as url:
        forget(url)
        fill(url, 1, 2)
        count_on(url)
        execute(
            url,
            f"ALTER TABLE {table} DROP CONSTRAINT {name}",
            f"CREATE UNIQUE INDEX {name} ON {table} ({column})",
            f"UPDATE pg_index SET indisvalid = false, indisready = {table == 'api_keys'} "
            f"WHERE indexrelid = '{name}'::regclass",
        )
        take_over(url)
        built = f"SELECT indisvalid, indisready FROM pg_index WHERE indexrelid = '{name}'::regclass"
        assert query(url, built) == [(True, True)]
        assert query(url, f"SELECT contype::text FROM pg_constraint WHERE conname = '{name}'") == [("u",)]


@pytest.mark.parametrize("names", ["head's names", "other names"])
def test_actions_of_foreign_keys_stay_as_the_service_knows_them(names: str, without_history: Callable[[], str]) -> None:
    url, table = without_history(), "model_mapping_providers"
    first, second = (
        (f"{table}_requested_model_fkey", f"{table}_provider_id_fkey") if names == "head's names" else ("of", "by")
    )
    number = "INTEGER" if "sqlite" in url else "SERIAL"
    mapping = "FOREIGN KEY (requested_model) REFERENCES model_mappings (requested_model)"
    keys = [
        f"CONSTRAINT {first} {mapping} ON UPDATE CASCADE ON DELETE RESTRICT",
        f"CONSTRAINT {second} FOREIGN KEY (provider_id) REFERENCES service_providers (id) ON DELETE SET NULL",
    ]
    execute(
        url,
        f"DROP TABLE {table}",
        f"CREATE TABLE {table} (id {number} PRIMARY KEY, requested_model VARCHAR(100) NOT NULL, provider_id INTEGER, "
        f"target_model_name VARCHAR(100), priority INTEGER, weight INTEGER, {', '.join(keys)})",
        f"INSERT INTO {table} VALUES (7, (SELECT max(requested_model) FROM model_mappings), "
        "(SELECT max(id) FROM service_providers), 't', 0, 1)",
    )
    take_over(url)
    with db.engine(url, poolclass=sa.NullPool).begin() as service:
        service.exec_driver_sql(
            "UPDATE model_mappings SET requested_model = 'renamed'  WHERE requested_model = "
            f"(SELECT requested_model FROM {table})"
        )
        service.exec_driver_sql(f"DELETE FROM service_providers WHERE id = (SELECT provider_id FROM {table})")
    assert query(url, f"SELECT id, requested_model, provider_id FROM {table}") == [(7, "renamed", None)]


@pytest.mark.parametrize("rows", ["with rows", "empty"])
def test_numbers_of_deleted_rows_never_come_again(rows: str, heads: Callable[[str], str], tmp_path: Path) -> None:
    with database("sqlite", Servers(), tmp_path, template=heads("sqlite")) as url:
        forget(url)
        fill(url, 1, 2)
        execute(
            url,
            "DROP TABLE api_keys",
            "CREATE TABLE api_keys (id INTEGER PRIMARY KEY AUTOINCREMENT, key_name VARCHAR(100) NOT NULL)",
            "INSERT INTO api_keys (id, key_name) SELECT DISTINCT api_key_id, api_key_id FROM request_logs "
            "WHERE api_key_id IS NOT NULL",
            "UPDATE sqlite_sequence SET seq = 5000",
            *(["DELETE FROM api_keys", "UPDATE request_logs SET api_key_id = NULL"] if rows == "empty" else []),
        )
        assert adopt(url, "--apply").returncode == 0
        execute(url, "INSERT INTO api_keys (key_name) VALUES ('the next')")
        assert query(url, "SELECT id FROM api_keys WHERE key_name = 'the next'") == [(5001,)]


@pytest.mark.parametrize(
    "end", ["PRIMARY KEY (key COLLATE NOCASE))", "PRIMARY KEY (key DESC))", "PRIMARY KEY (key)) STRICT"]
)
def test_a_declaration_that_the_file_contradicts_needs_a_decision(
    end: str, heads: Callable[[str], str], tmp_path: Path
) -> None:
    with database("sqlite", Servers(), tmp_path, template=heads("sqlite")) as url:
        forget(url)
        execute(
            url,
            "DROP TABLE key_value_store",
            f"CREATE TABLE key_value_store (key TEXT, value TEXT NOT NULL, {end}",
            "INSERT INTO key_value_store VALUES ('a', 'x'), ('B', 'x'), ('c', 'x')",
        )
        before = schema_of(url)
        assert "table key_value_store: has a key or options" in adopt(url).stdout
        assert "table key_value_store: has a key or options" in adopt(url, "--apply").stderr
        assert (schema_of(url), query(url, "PRAGMA integrity_check")) == (before, [("ok",)])


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["users.before", "users.id", "audit.2025"])
def test_a_table_that_looks_like_an_object_of_another_is_refused(name: str, without_history: Callable[[], str]) -> None:
    url = without_history()
    execute(url, f'CREATE TABLE "{name}" (id integer PRIMARY KEY)')
    before = schema_of(url)
    assert f'ALTER TABLE "{name}" RENAME TO' in failed(adopt(url, "--apply", "--unmanaged", name), 5)
    assert schema_of(url) == before


@pytest.mark.exhaustive
def test_an_empty_database_is_refused(url: str) -> None:
    execute(url, "CREATE TABLE other (id integer)")
    assert "there is nothing to adopt: alembic upgrade head" in failed(adopt(url), 5)


@pytest.mark.exhaustive
def test_a_database_with_a_history_is_refused(at: At) -> None:
    url = at(REVISIONS[-3])
    assert "alembic upgrade head" in failed(adopt(url, "--apply"), 5)
    head = at(HEAD)
    done = adopt(head, "--apply")
    assert (done.returncode, "nothing to adopt" in done.stdout) == (0, True)


@pytest.mark.exhaustive
def test_another_owner_and_a_role_that_reads(servers: Servers, tmp_path: Path) -> None:
    with database("postgresql", servers, tmp_path) as url:
        load(url, "gateway of January 31")
        role = f"reader_{url.rpartition('/')[2]}"
        execute(url, f"CREATE ROLE {role} LOGIN", f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        try:
            own = url.replace("postgres@", f"{role}@")
            shown = adopt(own)
            assert shown.returncode == 0
            assert f"GRANT postgres TO {role}" in shown.stdout
            assert "In one transaction:" in shown.stdout
            assert "GRANT CREATE ON SCHEMA public" in failed(adopt(own, "--apply"), 8)
            execute(url, f"GRANT postgres TO {role}", f"GRANT CREATE ON SCHEMA public TO {role}")
            take_over(own)
        finally:
            execute(url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_an_upgrade_names_the_command(without_history: Callable[[], str]) -> None:
    url = without_history()
    assert failed(run_alembic("upgrade", "head", url=url, env=ENVIRONMENT), 5).endswith("take it over: schema adopt")


@pytest.mark.exhaustive
def test_later_steps_are_taken_when_the_old_service_is_gone(without_history: Callable[[], str]) -> None:
    url = without_history()
    names = {
        "a column that may be NULL",
        "a foreign key that holds parents, dropped",
        "an integer id",
        "a column that is required and has no default, dropped",
    }
    if "sqlite" not in url:
        execute(
            url,
            "ALTER TABLE service_providers ALTER COLUMN name TYPE varchar(60)",
            "CREATE INDEX by_lower_name ON service_providers (lower(name))",
        )
    execute(url, *statements([edit for edit in EDITS if edit.name in names], url))
    if "sqlite" in url:
        execute(
            url, "ALTER TABLE service_registry ADD COLUMN nick text", "ALTER TABLE api_keys DROP COLUMN is_mcp_admin"
        )
        execute(url, "ALTER TABLE api_keys ADD COLUMN is_mcp_admin BOOLEAN DEFAULT false")
    take_over(url, "--unmanaged", "*.nick")
    refused = adopt(url, "--contract", "*", "--apply")
    if "sqlite" not in url:
        assert "updated_at: is NULL in 2 rows (id " in failed_lines(refused)
        execute(url, "UPDATE service_registry SET updated_at = created_at")
        assert adopt(url, "--contract", "*", "--apply").returncode == 0
    is_head(url)
    left = [line for line in schema("status", DATABASE_URL=url).stdout.splitlines() if line.startswith("Accepted")]
    own = "column service_registry.nick" if "sqlite" in url else "index service_providers.by_lower_name"
    assert [line.split("  ")[1].partition(": ")[0] for line in left] == [own]


def failed_lines(done: Done) -> str:
    assert (done.returncode, "FAILED" in done.stderr) == (8, True), done.stdout + done.stderr
    return done.stderr


def test_rows_that_wait_for_their_key_are_due(without_history: Callable[[], str]) -> None:
    url = without_history()
    execute(
        url,
        "UPDATE service_providers SET api_key = NULL",
        "INSERT INTO service_providers (name, base_url, protocol, api_key) VALUES ('p', 'x', 'openai', 'sk-secret')",
    )
    assert plan(url)["due"] == {ENCRYPTS: 1}
    refused = schema("adopt", "--apply", DATABASE_URL=url)  # without a key
    assert "ENCRYPTION_KEY" in failed(refused, 2, "sk-secret")
    assert f"adopted: the database is at {HEAD}" in refused.stderr
    assert revision_of(url) == HEAD
    assert query(url, "SELECT api_key FROM service_providers WHERE name = 'p'") == [("sk-secret",)]
    status = json.loads(schema("status", "--json", DATABASE_URL=url).stdout)
    assert [r["revision"] for r in status["revisions"] if r["state"] == "failed" and not r["applied"]] == [ENCRYPTS]
    assert schema("status", "--exit-code", DATABASE_URL=url).returncode == 3
    assert not PROJECT.is_current(engine(url))
    done = run_alembic("upgrade", "head", url=url, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert f"upgrade {ENCRYPTS}" in done.stderr
    is_head(url)
    assert PROJECT.is_current(engine(url))
