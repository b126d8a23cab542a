"""Six ways in which users of a gateway were hurt who had partitioned its log by a script, or wanted to.

The numbers are those of their reports in LiteLLM's tracker.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.orm import Session

from app.migrations import commands
from app.migrations.partitions.catalog import attached
from app.models import RequestLog
from app.project import PROJECT
from tests.support.alembic_in_process import command_line, revision_of
from tests.support.command_processes import Done, Running
from tests.support.database_access import connected, engine, execute, query
from tests.support.databases import Servers, database
from tests.support.editable_project import EditableProject
from tests.support.environment import variables
from tests.support.waiting import wait_until

TABLE = "request_logs"
LOGS = f"""INSERT INTO {TABLE} (request_time, requested_model, trace_id, request_body)
    SELECT timezone('utc', now()) - g * interval '10 minutes', 'm' || g % 7, 't' || g, to_json(repeat(md5(g::text), 30))
    FROM generate_series(1, 2000) g"""
INDEXES = """
SELECT t.relname, replace(replace(pg_get_indexdef(x.indexrelid), ' ON ONLY ', ' ON '), t.relname, 'TABLE'), x.indisvalid
FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid WHERE x.indrelid = '{}'::regclass
"""
BUILDING = """
SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
AND query LIKE '%CREATE%INDEX CONCURRENTLY%'
"""
SERVERS = ["postgresql", pytest.param("postgresql17", marks=pytest.mark.exhaustive)]


@pytest.fixture(scope="module", params=SERVERS)
def template(
    request: pytest.FixtureRequest,
    heads: Callable[[str], str],
    servers: Servers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, str, list[str]]]:
    """Its server, the URL of a database at head whose request_logs has rows and is partitioned, and former indexes."""
    kind, folder = request.param, tmp_path_factory.mktemp("partitioned")
    with database(kind, servers, folder, template=heads(kind)) as url:
        execute(url, LOGS)
        elsewhere(url)
        before = shapes(url, TABLE)
        commands.enable_partitions(PROJECT, TABLE, engine(url))
        yield kind, url, before


@pytest.fixture
def url(template: tuple[str, str, list[str]], servers: Servers, tmp_path: Path) -> Iterator[str]:
    kind, partitioned, _ = template
    with database(kind, servers, tmp_path, template=partitioned) as url:
        elsewhere(url)
        yield url


def elsewhere(url: str) -> None:
    """Gives a database another zone than UTC."""
    execute(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET TimeZone = 'America/Los_Angeles'")
    engine(url).dispose()  # sessions that have the zone of before


def alembic(editable: EditableProject, url: str, *args: str) -> Done:
    return command_line(*args, env=variables(url) | {"ALEMBIC_CONFIG": str(editable.ini)}, folder=editable.folder)


def shapes(url: str, table: str) -> list[str]:
    """The definitions of a table's indexes, without what differs from table to table."""
    found = []
    for relation, definition, is_valid in query(url, INDEXES.format(table)):
        assert is_valid, f"{relation}: {definition}"
        found.append(str(definition).partition(" USING ")[2])
    return sorted(found)


def partitions_of(url: str) -> list[str]:
    with connected(url) as connection:
        return [each.name for each in attached(connection, TABLE)]


def now_of(url: str) -> dt.datetime:
    return dt.datetime.fromisoformat(str(query(url, "SELECT timezone('utc', now())::text")[0][0]))


@pytest.mark.exhaustive
def test_model_and_database_have_one_key_to_every_migration(url: str, editable: EditableProject) -> None:
    """40119: the script's key was another than the model's, so that every migration which touched it failed."""
    assert alembic(editable, url, "revision", "--autogenerate", "-m", "x").stdout.startswith("Nothing has changed")
    editable.edit_models(
        f'log = tables["{TABLE}"]\n'
        'log.append_column(sa.Column("region", sa.Text, comment="Where it came from."))\n'
        'sa.Index("idx_request_logs_region", log.c.region)\n'
        'log.c.retry_count.comment = "How often."'
    )
    assert alembic(editable, url, "revision", "--autogenerate", "-m", "x").returncode == 0
    written = "".join(path.read_text(encoding="utf-8") for path in sorted(editable.versions.glob("*_x*.py")))
    assert "primary_key" not in written
    assert "pkey" not in written
    upgraded = alembic(editable, url, "upgrade", "head")
    assert upgraded.returncode == 0, upgraded.stderr
    assert alembic(editable, url, "check").returncode == 0
    # The ORM knows a log by its id alone.
    with Session(engine(url)) as session:
        log = session.get_one(RequestLog, 7)
        log.response_status = 500
        session.commit()
        assert session.get_one(RequestLog, 7).response_status == 500
        session.delete(log)
        session.commit()
        assert session.get(RequestLog, 7) is None


INDEXED = f"""
with op.concurrently():
    op.create_index("idx_mended", "{TABLE}", ["requested_model", "trace_id"])
op.create_index("idx_of_old", "{TABLE}", ["trace_id", "user_id"], postgresql_concurrently=True)
"""
UNDONE = f'op.drop_index("idx_mended", "{TABLE}")\nop.drop_index("idx_of_old", "{TABLE}")'


def test_an_index_that_is_to_be_built_concurrently_stops_no_upgrade(url: str, editable: EditableProject) -> None:
    """41548: CREATE INDEX CONCURRENTLY of a partitioned table is refused, and the upgrade ended there."""
    revision = editable.add(INDEXED, UNDONE)
    upgraded = alembic(editable, url, "upgrade", "head")
    assert upgraded.returncode == 0, upgraded.stderr
    assert revision_of(url) == revision
    made = {"btree (requested_model, trace_id)", "btree (trace_id, user_id)"}
    assert made <= {*shapes(url, TABLE)}
    assert all(shapes(url, partition) == shapes(url, TABLE) for partition in partitions_of(url))
    assert alembic(editable, url, "downgrade", "-1").returncode == 0
    assert not made & {*shapes(url, TABLE)}


@pytest.mark.exhaustive
def test_no_writer_waits_for_an_index(url: str, editable: EditableProject) -> None:
    """41816: the mend was an index that is built while every writer waits."""
    editable.add(INDEXED, UNDONE)
    where, first = url.replace("+psycopg", ""), partitions_of(url)[0]
    environment = variables(url) | {"ALEMBIC_CONFIG": str(editable.ini)}
    with psycopg.connect(where) as slow, psycopg.connect(where, autocommit=True) as service:
        # A transaction of long ago, in one partition: the build of its index waits, and nothing else may.
        slow.execute(f"UPDATE {first} SET retry_count = 1 WHERE id = 1")
        with Running("alembic", ("upgrade", "head"), environment, editable.folder) as upgrade:
            wait_until(lambda: bool(query(url, BUILDING)) or upgrade.ended)
            service.execute("SET lock_timeout = '1s'")
            for _ in range(20):
                service.execute(f"INSERT INTO {TABLE} (request_time) VALUES (timezone('utc', now()))")
                service.execute(f"UPDATE {TABLE} SET retry_count = 2 WHERE id = 2")
                service.execute(f"SELECT id FROM {TABLE} ORDER BY request_time DESC LIMIT 5").fetchall()
            assert not upgrade.ended
            slow.commit()
            done = upgrade.wait()
    assert done.returncode == 0, done.stderr
    assert "btree (trace_id, user_id)" in shapes(url, first)


def test_no_index_is_lost(url: str, template: tuple[str, str, list[str]]) -> None:
    """29466, 37983: the script made the new table without its indexes, twice."""
    before = template[-1]
    commands.maintain(PROJECT, engine(url), tables=[TABLE], now=now_of(url) + dt.timedelta(days=21))
    key = "btree (id, request_time)"
    after = shapes(url, TABLE)
    assert sorted(after) == sorted([*(shape for shape in before if shape != "btree (id)"), key])
    partitions = partitions_of(url)
    assert len(partitions) >= 8
    assert [shapes(url, partition) for partition in partitions] == [after] * len(partitions)
    detached = "SELECT indexrelid::regclass::text FROM pg_index x JOIN pg_inherits i ON i.inhrelid = x.indrelid JOIN "
    detached += "pg_class c ON c.oid = x.indexrelid WHERE i.inhparent = '{}'::regclass AND NOT c.relispartition"
    assert query(url, detached.format(TABLE)) == []


def test_bounds_are_utc_on_a_server_that_is_not(url: str) -> None:
    """34364: bounds were those of the server's zone, and rows of some hours fell between them."""
    assert query(url, "SHOW timezone") == [("America/Los_Angeles",)]
    with connected(url) as connection:
        partitions = attached(connection, TABLE)
    bounds = [each.low for each in partitions if each.low is not None]
    assert all((bound.hour, bound.minute, bound.weekday()) == (0, 0, 0) for bound in bounds[1:])
    for place, bound in enumerate(bounds, 1):
        last, first = bound - dt.timedelta(microseconds=1), bound
        execute(url, f"INSERT INTO {TABLE} (request_time, trace_id) VALUES ('{last}', 'last'), ('{first}', 'first')")
        placed = f"SELECT trace_id, tableoid::regclass::text FROM {TABLE}"
        found = query(url, f"{placed} WHERE request_time IN ('{last}', '{first}')")
        assert sorted(found) == [("first", partitions[place].name), ("last", partitions[place - 1].name)]
        execute(url, f"DELETE FROM {TABLE} WHERE trace_id IN ('first', 'last')")


def test_retention_frees_the_disk(url: str) -> None:
    """16582: rows were deleted, and the table stayed as large as it was."""
    with connected(url) as connection:
        former = attached(connection, TABLE)[0]
    assert former.high is not None
    later = former.high + dt.timedelta(days=91)
    commands.maintain(PROJECT, engine(url), tables=[TABLE], now=former.high + dt.timedelta(days=1))
    commands.maintain(PROJECT, engine(url), tables=[TABLE], now=later - dt.timedelta(days=3))
    execute(url, f"INSERT INTO {TABLE} (request_time) VALUES ('{later}')")
    size = f"SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('{TABLE}')"
    before = int(str(query(url, size)[0][0]))
    done = commands.maintain(PROJECT, engine(url), tables=[TABLE], now=later)
    assert done.failures == []
    (dropped,) = [step for step in done.steps if step.subject == former.name]
    assert dropped.rows == 2000
    assert dropped.bytes is not None
    assert dropped.bytes >= former.bytes * 0.9
    assert before - int(str(query(url, size)[0][0])) >= former.bytes * 0.9
    assert query(url, f"SELECT to_regclass('{former.name}')") == [(None,)]
    assert query(url, f"SELECT count(*) FROM {TABLE}") == [(1,)]
    recorded = query(url, "SELECT subject FROM schema_ledger WHERE outcome = 'dropped'")
    assert recorded == [(f"partition {former.name}",)]
