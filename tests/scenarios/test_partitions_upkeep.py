"""`schema partitions maintain` as processes: killed, in many places at once, beside writers, readers and revisions."""

import datetime as dt
import gzip
import json
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from app.migrations import commands, run
from app.project import PROJECT
from tests.support.command_processes import Done, Running, start_schema
from tests.support.database_access import engine, execute, query
from tests.support.databases import Servers, database
from tests.support.kept_logs import BOUNDS, ROWS, TABLE, alone, keep, partitions, recorded, require_kept, week
from tests.support.ledger_rows import holder
from tests.support.pgbouncer import Pooler
from tests.support.project_copy import ProjectCopy
from tests.support.schema_in_process import schema
from tests.support.waiting import wait_until

OLDEST = f"{TABLE}_until_{week(-20):%Y%m%d}"


@pytest.fixture(scope="module")
def template(heads: Callable[[str], str], servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a database whose log is kept in partitions, to be copied."""
    with database("postgresql", servers, tmp_path_factory.mktemp("kept"), heads("postgresql")) as url:
        keep(url)
        yield url


@pytest.fixture
def url(template: str, servers: Servers, tmp_path: Path) -> Iterator[str]:
    with database("postgresql", servers, tmp_path, template) as url:
        yield url


def start(url: str, *args: str, **variables: str) -> Running:
    return start_schema("partitions", "maintain", TABLE, *args, DATABASE_URL=url, **variables)


def maintain(url: str, *args: str, **variables: str) -> Done:
    return schema("partitions", "maintain", TABLE, *args, DATABASE_URL=url, **variables)


def test_the_command_tells_what_it_would_do_does_it_and_has_nothing_left_to_do(url: str) -> None:
    planned = maintain(url, "--dry-run", "--json")
    assert (planned.returncode, len(partitions(url))) == (0, len(BOUNDS) - 1)
    values = json.loads(planned.stdout)
    assert [(step["action"], step["subject"]) for step in values["steps"]] == [
        *(("create", f"{TABLE}_p{week(number):%Y%m%d}") for number in range(1, 5)),
        *(("drop", f"{TABLE}_until_{week(number):%Y%m%d}") for number in (-20, -15)),
    ]
    done = maintain(url)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Done: 6 steps.")
    lines = done.stdout.splitlines()
    assert lines[1] == (
        f"Create    {TABLE}_p{week(1):%Y%m%d}: from {week(1):%Y-%m-%d} 00:00 to {week(2):%Y-%m-%d} 00:00 UTC: "
        "0 of 4 partitions ahead are there (4 weeks)"
    )
    assert lines[5].startswith(
        f"Drop      {OLDEST}: all rows are older than 90 days (until {week(-20):%Y-%m-%d} 00:00 UTC); 40 rows, "
    )
    require_kept(url)
    again = maintain(url)
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "Nothing to do.")
    assert schema("partitions", "maintain", "none", DATABASE_URL=url).returncode == 2


def test_the_lock_of_another_migration_is_waited_for(url: str) -> None:
    with run.writing(PROJECT, engine(url), 5):
        done = start(url, "--lock-timeout", "0.2").wait()
    assert (done.returncode, "Another migration is running" in done.stdout) == (6, True)
    assert "FAILED" in done.stdout


@pytest.mark.exhaustive
@pytest.mark.parametrize("archives", [False, True])
def test_a_run_killed_at_any_moment_is_finished_by_the_next(
    template: str, servers: Servers, tmp_path: Path, *, archives: bool, record_property: Callable[[str, object], None]
) -> None:
    args = ["--archive", str(tmp_path / "archive")] if archives else []
    with database("postgresql", servers, tmp_path, template) as url:
        (tmp_path / "archive").mkdir()
        assert start(url, *args, MOMENTS=str(tmp_path / "moments")).wait().returncode == 0
        require_kept(url)
    moments = int((tmp_path / "moments").read_text(encoding="ascii"))
    # Those of the archive come last; what is before was walked without it.
    for moment in range(1 + 17 * archives, moments + 1):
        shutil.rmtree(tmp_path / "archive")
        (tmp_path / "archive").mkdir()
        with database("postgresql", servers, tmp_path, template) as url:
            killed = start(url, *args, KILL_AT=str(moment)).wait()
            assert killed.returncode in (-signal.SIGKILL, 0)
            wait_until(lambda url=url: holder(url) is None)  # type: ignore[misc]
            rows = query(url, f"SELECT count(*) FROM {TABLE}")[0][0]
            assert int(str(rows)) >= ROWS[-5]
            done = maintain(url, *args)
            assert done.returncode == 0, (moment, done.stdout, done.stderr)
            require_kept(url)
            assert [file for file in (tmp_path / "archive").iterdir() if file.suffix not in (".gz", ".json")] == []
            if archives:
                assert in_archive(tmp_path / "archive") == {(week(-20), 40), (week(-15), 30)}, moment
    record_property("moments", f"killed at each of {moments} moments, archives: {archives}")


def in_archive(folder: Path) -> set[tuple[dt.datetime, int]]:
    """End and rows of each archive; no half file has the name of a whole one."""
    found = set()
    for file in folder.glob("*.json"):
        manifest = json.loads(file.read_bytes())
        with gzip.open(folder / manifest["file"], "rt", encoding="utf-8") as content:
            lines = content.read().count("\n")
        assert lines - 1 == manifest["rows"]
        found.add((dt.datetime.fromisoformat(manifest["high"]), manifest["rows"]))
    return found


@pytest.mark.exhaustive
def test_ten_at_once_do_it_once(url: str) -> None:
    running = [start(url) for _ in range(10)]
    done = [one.wait() for one in running]
    assert [one.returncode for one in done] == [0] * 10, [one.stdout for one in done]
    require_kept(url)
    assert sum(one.stdout.count("Drop      ") for one in done) == 2


@pytest.mark.exhaustive
def test_ten_delete_the_rows_of_a_plain_table_once(
    heads: Callable[[str], str], servers: Servers, tmp_path: Path
) -> None:
    with database("postgresql", servers, tmp_path, heads("postgresql")) as url:
        insert = f"INSERT INTO {TABLE} (request_time)"
        execute(
            url,
            f"{insert} SELECT '{week(-20)}' FROM generate_series(1, 20000)",
            f"{insert} SELECT '{week(0)}' FROM generate_series(1, 100)",
        )
        done = [one.wait() for one in [start(url) for _ in range(10)]]
        assert [one.returncode for one in done] == [0] * 10, [one.stdout for one in done]
        assert query(url, f"SELECT count(*) FROM {TABLE}") == [(100,)]
        assert sum(int(rows) for _, _, rows in recorded(url)) == 20000


@pytest.mark.exhaustive
def test_writers_and_readers_notice_nothing(url: str) -> None:
    stop, errors, longest, written = threading.Event(), [], [0.0], [0]

    def write() -> None:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            while not stop.is_set():
                started = time.monotonic()
                try:
                    connection.execute(
                        f"INSERT INTO {TABLE} (request_time, api_key_id) VALUES (timezone('utc', now()), 1)"
                    )
                    connection.execute("UPDATE api_keys SET key_name = key_name || '' WHERE id = 1")
                    connection.execute(f"SELECT count(*) FROM {TABLE} WHERE request_time > %s", [week(-1)])
                    written[0] += 1
                except psycopg.Error as error:
                    errors.append(error)
                longest[0] = max(longest[0], time.monotonic() - started)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        done = start(url).wait()
    finally:
        stop.set()
        thread.join()
    assert (done.returncode, errors) == (0, [])
    require_kept(url, extra=written[0])
    assert written[0] > 0


@pytest.mark.exhaustive
def test_a_long_report_is_named_and_the_next_run_goes_on(url: str) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), application_name="the report") as report:
        report.execute(f"SELECT count(*) FROM {TABLE}")
        for _ in range(2):  # the second one meets the detachment that the first one has begun
            done = maintain(url, SCHEMA_RETRY_TIMEOUT="1")
            assert done.returncode == 1
            [line] = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
            assert f"{OLDEST} can't be detached while an older transaction may read it: the report (pid " in line
            assert "The next run goes on" in line
            assert done.stdout.count("Create ") in (0, 4)
        assert [own.is_pending for own in partitions(url)] == [True] + [False] * 6
        execute(url, f"INSERT INTO {TABLE} (request_time) VALUES (timezone('utc', now()))")
        report.rollback()
    assert maintain(url).returncode == 0
    require_kept(url, extra=1)


@pytest.mark.exhaustive
def test_what_a_person_began_to_detach_is_ended_and_left(url: str) -> None:
    with psycopg.connect(url.replace("+psycopg", "")) as report:
        report.execute(f"SELECT count(*) FROM {TABLE}")
        person = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
        person.execute("SET lock_timeout = '500ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            person.execute(f"ALTER TABLE {TABLE} DETACH PARTITION {OLDEST} CONCURRENTLY")
        person.close()
    done = maintain(url)
    assert (done.returncode, f"{OLDEST} was being detached by a person" in done.stdout) == (0, True)
    assert [own.name for own in alone(url)] == [OLDEST]
    assert query(url, f"SELECT count(*) FROM {OLDEST}") == [(40,)]


@pytest.mark.exhaustive
def test_a_reader_of_the_detached_partition_is_waited_for_and_told(url: str) -> None:
    execute(
        url,
        f"COMMENT ON TABLE {OLDEST} IS 'schema partitions: {TABLE} from MINVALUE to {week(-20)} UTC, retiring'",
        f"ALTER TABLE {TABLE} DETACH PARTITION {OLDEST}",
    )
    with psycopg.connect(url.replace("+psycopg", "")) as reader:
        reader.execute(f"SELECT 1 FROM {OLDEST}")
        done = maintain(url, SCHEMA_RETRY_TIMEOUT="1")
        assert done.returncode == 1
        # The other one has nothing in its way.
        assert [own.name for own in alone(url)] == [OLDEST]
        assert len(partitions(url)) == 5
        reader.execute(f"SELECT 1 FROM {OLDEST}")
        reader.rollback()
        reader.execute(f"LOCK TABLE {OLDEST} IN ROW EXCLUSIVE MODE")
        done = maintain(url)
        assert (done.returncode, f"{OLDEST}: another run is at it" in done.stdout) == (0, True)
    assert maintain(url).returncode == 0
    assert alone(url) == []


@pytest.mark.exhaustive
def test_a_revision_runs_at_the_same_time(url: str, project: ProjectCopy) -> None:
    project.add(
        f"op.add_column('{TABLE}', sa.Column('extra', sa.Integer))\n"
        f"with op.concurrently():\n    op.create_index('extra_of', '{TABLE}', ['extra'])"
    )
    migration = project.start("upgrade", "head", url=url)
    running = [start(url) for _ in range(3)]
    done = [one.wait() for one in [*running, migration]]
    assert [one.returncode for one in done] == [0] * 4, [one.stdout + one.stderr for one in done]
    require_kept(url)
    indexes = "SELECT count(*), bool_and(indisvalid) FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indrelid IN "
    tree = f"(SELECT relid FROM pg_partition_tree('{TABLE}')) AND pg_get_indexdef(oid) LIKE '%(extra)'"
    assert query(url, indexes + tree) == [(6, True)]


@pytest.mark.exhaustive
@pytest.mark.parametrize("limit", [0, 300, 1500])
def test_a_full_disk_drops_nothing_and_leaves_no_half_file(url: str, tmp_path: Path, limit: int) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        done = commands.maintain(PROJECT, engine(url), tables=[TABLE], archive=folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    message = f"The archive in {folder} can't be written (File too large). No partition was dropped without it."
    assert {failed.message for failed in done.failures} == {message}
    assert [*folder.iterdir()] == []
    assert query(url, f"SELECT count(*) FROM {OLDEST}") == [(40,)]
    assert maintain(url, "--archive", str(folder)).returncode == 0
    require_kept(url)
    assert in_archive(folder) == {(week(-20), 40), (week(-15), 30)}


@pytest.mark.exhaustive
def test_psql_loads_an_archive_again(url: str, tmp_path: Path) -> None:
    before = query(url, f"SELECT * FROM {OLDEST} ORDER BY id")
    assert maintain(url, "--archive", str(tmp_path)).returncode == 0
    manifest = json.loads((tmp_path / f"{OLDEST}.json").read_bytes())
    execute(url, f"CREATE TABLE {OLDEST} PARTITION OF {TABLE} FOR VALUES FROM (MINVALUE) TO ('{manifest['high']}')")
    # In the folder of the file, as the manifest says.
    psql = shutil.which("psql")
    assert psql is not None, "psql isn't installed; on Debian: apt-get install postgresql-client"
    subprocess.run(
        [psql, "-X", "-v", "ON_ERROR_STOP=1", url.replace("+psycopg", ""), "-c", manifest["load"]],
        check=True,
        cwd=tmp_path,
    )
    assert query(url, f"SELECT * FROM {OLDEST} ORDER BY id") == before


@pytest.mark.exhaustive
def test_it_works_through_a_pooler(url: str, servers: Servers, tmp_path: Path) -> None:
    with Pooler(servers[18]) as pooler:
        done = maintain(pooler.url(url), "--archive", str(tmp_path))
        assert done.returncode == 0, done.stdout
        require_kept(url)
        with psycopg.connect(pooler.url(url).replace("+psycopg", ""), prepare_threshold=None) as connection:
            settings = "SELECT name FROM pg_settings WHERE source = 'session' AND name LIKE '%timeout%'"
            assert connection.execute(settings).fetchall() == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it_while_it_waits_and_the_next_run_goes_on(url: str, number: signal.Signals) -> None:
    with psycopg.connect(url.replace("+psycopg", "")) as report:
        report.execute(f"SELECT count(*) FROM {TABLE}")
        running = start(url)
        wait_until(lambda: any(own.is_pending for own in partitions(url)))
        running.send(number)
        done = running.wait()
        assert "Traceback" not in done.stderr
        if number == signal.SIGTERM:
            assert (done.returncode, "Interrupted" in done.stderr) == (130, True)
    wait_until(lambda: holder(url) is None)
    assert maintain(url).returncode == 0
    require_kept(url)
