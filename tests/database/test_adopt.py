"""`schema adopt`: databases of every origin are brought to head by their facts, or refused with the reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.alembic_in_process import HEAD, REVISIONS, forget, revision_of, run_alembic
from tests.support.command_processes import Done
from tests.support.databases import At, Servers, database
from tests.support.known_keys import ENVIRONMENT
from tests.support.legacy_databases import DUMPS, OldService, count_on, load
from tests.support.sample_rows import ENCRYPTED, common, fill, values_in
from tests.support.schema_dump import schema_of
from tests.support.schema_in_process import schema

pytestmark = pytest.mark.in_turn


def adopt(url: str, *args: str) -> Done:
    return schema("adopt", *args, DATABASE_URL=url, **ENVIRONMENT)


def plan(url: str, *args: str) -> Any:
    """What a dry run finds, in JSON."""
    return json.loads(adopt(url, "--json", *args).stdout)


def groups(found: Any) -> dict[str, str]:
    return {finding["name"]: finding["group"] for finding in found["findings"]}


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


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_database_of_each_revision_without_history_is_adopted(revision: str, at: At) -> None:
    url = at(revision)
    forget(url)
    fill(url, 1, 2)
    count_on(url)
    take_over(url)
