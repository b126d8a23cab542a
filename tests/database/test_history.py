"""The history, revision by revision, on both databases: forth and back, with rows, online and as a script."""

import sqlite3

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from pytest_alembic.tests import (
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)

from app import db
from app.migrations.errors import MigrationError
from app.models import Base
from tests.support import sample_rows
from tests.support.alembic_in_process import (
    INI,
    REVISIONS,
    config,
    downgrade,
    downgrade_script,
    forget,
    revision_of,
    upgrade,
    upgrade_script,
)
from tests.support.approved_texts import Approve
from tests.support.database_access import execute, query, run_script
from tests.support.databases import At, everyday
from tests.support.schema_dump import schema_of

pytestmark = pytest.mark.in_turn

__all__ = [
    "test_model_definitions_match_ddl",
    "test_single_head_revision",
    "test_up_down_consistency",
    "test_upgrade",
]

# Ours, which go up and down one by one and look at each value, are run every day.
test_up_down_consistency = pytest.mark.exhaustive(test_up_down_consistency)
test_upgrade = pytest.mark.exhaustive(test_upgrade)


# The first, two that copy a table on SQLite, and both that change rows.
several_revisions = pytest.mark.parametrize(
    "revision",
    everyday(REVISIONS, {"20241211000000", "20251213000000", "20260123000000", "20260228000000", "20260425090000"}),
)


@pytest.fixture
def alembic_config() -> dict[str, str]:
    return {"file": str(INI)}


@pytest.fixture
def alembic_engine(url: str) -> sa.Engine:
    return db.migration_engine(url)


def parent_of(revision: str) -> str:
    return "base" if revision == REVISIONS[0] else REVISIONS[REVISIONS.index(revision) - 1]


# --- the schema ---------------------------------------------------------------


@pytest.mark.exhaustive
def test_create_all_and_upgrade_make_the_same_schema(url: str) -> None:
    engine = db.migration_engine(url)
    empty = schema_of(url)
    Base.metadata.create_all(engine)
    created = schema_of(url)
    Base.metadata.drop_all(engine)
    assert schema_of(url) == empty
    upgrade(url)
    assert schema_of(url) == created


def test_alembic_check_finds_no_difference(head_url: str) -> None:
    command.check(config(head_url))


# --- forth and back -----------------------------------------------------------


def go_online(url: str, start: str, end: str) -> None:
    if is_up(start, end):
        upgrade(url, end)
    else:
        downgrade(url, end, accept=[start])


def go_by_script(url: str, start: str, end: str) -> None:
    if start == "base":
        forget(url)
    script = upgrade_script if is_up(start, end) else downgrade_script
    run_script(url, script(url, f"{start}:{end}"))


def is_up(start: str, end: str) -> bool:
    return start == "base" or (end != "base" and start < end)


@pytest.mark.exhaustive
@several_revisions
def test_a_revision_goes_up_and_down_online_and_as_a_script_and_keeps_every_value(revision: str, at: At) -> None:
    parent = parent_of(revision)
    url = at(parent)
    sample_rows.fill(url, 0, 1, 2)
    schemas = {parent: [schema_of(url)], revision: []}
    for go in (go_online, go_by_script):
        for start, end in ((parent, revision), (revision, parent)):
            before = sample_rows.values_in(url)
            go(url, start, end)
            after = sample_rows.values_in(url)
            assert sample_rows.common(after, before) == sample_rows.common(before, after)
            assert revision_of(url) == (end if end != "base" else None)
            schemas[end].append(schema_of(url))
            if go is go_online and end == revision:
                sample_rows.fill(url, 3)
    for first, *others in schemas.values():
        assert others
        assert all(other == first for other in others)


@pytest.mark.exhaustive
def test_the_whole_history_does_as_a_script_what_it_does_online(url: str) -> None:
    empty = schema_of(url)
    upgrade(url)
    head = schema_of(url)
    downgrade(url)
    assert schema_of(url) == empty
    forget(url)
    run_script(url, upgrade_script(url))
    assert schema_of(url) == head
    run_script(url, downgrade_script(url, "head:base"))
    assert schema_of(url) == empty


def test_the_script_of_the_whole_history(url: str, approve: Approve) -> None:
    approve(f"head.{sa.make_url(url).get_backend_name()}.sql", upgrade_script(url))


def test_the_way_back_stops_at_logs_of_a_provider_that_is_gone(at: At) -> None:
    without_key, with_key = "20260425090000", "20260402090001"
    url = at(without_key)
    schema = schema_of(url)
    execute(url, PROVIDER.replace("'sk-plaintext'", "NULL"))
    for provider in (1, 2):
        execute(url, f"INSERT INTO request_logs (request_time, provider_id) VALUES ('2025-01-01', {provider})")
    with pytest.raises(MigrationError, match="provider_id"):
        downgrade(url, with_key)
    assert revision_of(url) == without_key
    execute(url, "UPDATE request_logs SET provider_id = NULL WHERE provider_id = 2")
    downgrade(url, with_key)
    assert schema_of(url) != schema
    upgrade(url, without_key)
    execute(url, "DELETE FROM service_providers")
    assert schema_of(url) == schema
    assert query(url, "SELECT provider_id FROM request_logs ORDER BY id") == [(1,), (None,)]


# --- what a script can't do ---------------------------------------------------


USER = """
INSERT INTO users (id, github_user_id, github_refresh_token, updated_at)
VALUES ('00000000000000000000000000000001', 1, 'ghr_plaintext', '2025-01-01')
"""
PROVIDER = """
INSERT INTO service_providers (name, base_url, protocol, api_key)
VALUES ('one', 'https://one.example', 'openai', 'sk-plaintext')
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize(("revision", "row"), [("20251213000000", USER), ("20260228000000", PROVIDER)])
def test_a_script_stops_at_plaintext_that_it_cannot_encrypt(revision: str, row: str, at: At) -> None:
    url = at(parent_of(revision))
    execute(url, row)
    schema, values = schema_of(url), sample_rows.values_in(url)
    with pytest.raises((sqlite3.OperationalError, psycopg.errors.RaiseException), match=r"integer overflow|plaintext"):
        run_script(url, upgrade_script(url, f"{parent_of(revision)}:{revision}"))
    assert (schema_of(url), sample_rows.values_in(url), revision_of(url)) == (schema, values, parent_of(revision))
