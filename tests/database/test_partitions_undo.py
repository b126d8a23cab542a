"""`schema partitions enable` in other surroundings, its bound, and the way back."""

import datetime as dt
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app import db
from app.migrations import commands
from app.migrations.ahead import PREFIX
from app.migrations.errors import MigrationError
from app.migrations.partitions import create_ahead, enable, plan_enable, plan_undo, undo
from app.migrations.partitions.conversion.look import first_bound, quick_look
from app.migrations.partitions.conversion.plan import changes_of
from app.partitions import Declared, Partitioned, Schedule
from app.periods import Period
from app.project import PROJECT
from tests.support.approved_texts import Approve, plain
from tests.support.command_processes import failed
from tests.support.database_access import engine, execute, query
from tests.support.databases import Servers, database, everyday
from tests.support.hand_made_project import HandMade, dump
from tests.support.schema_dump import schema_of
from tests.support.schema_in_process import schema

LOGS, DETAILS, AUDIT = "request_logs", "request_log_details", "service_audit_logs"
ROWS = (
    (
        f"INSERT INTO {LOGS} (request_time) SELECT timezone('utc', now()) - g * interval '1 hour' "
        "FROM generate_series(1, 300) g"
    ),
    f"INSERT INTO {DETAILS} (log_id) SELECT id FROM {LOGS}",
    (
        f"INSERT INTO {AUDIT} (id, service_id, user_id, action, created_at) SELECT gen_random_uuid(), "
        "gen_random_uuid(), gen_random_uuid(), 'a', now() - g * interval '1 hour' FROM generate_series(1, 300) g"
    ),
)
BOUNDS = """SELECT pg_get_expr(relpartbound, c.oid) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
    WHERE inhparent = '{}'::regclass ORDER BY 1"""
SMALL = (
    "CREATE TABLE keys (id int PRIMARY KEY)",
    "CREATE TABLE logs (id bigserial PRIMARY KEY, at timestamp NOT NULL, key int REFERENCES keys)",
    "CREATE INDEX by_at ON logs (at)",
    "CREATE TABLE details (log bigint PRIMARY KEY REFERENCES logs ON DELETE CASCADE)",
    "INSERT INTO logs (at) SELECT timezone('utc', now()) - g * interval '1 hour' FROM generate_series(1, 50) g",
    "INSERT INTO details SELECT id FROM logs",
)
WEEKLY = Partitioned(by="at", every="week")


@pytest.fixture(params=["postgresql", pytest.param("postgresql17", marks=pytest.mark.exhaustive)])
def url(request: pytest.FixtureRequest, heads: Callable[[str], str], servers: Servers, tmp_path: Path) -> Iterator[str]:
    with database(request.param, servers, tmp_path, template=heads(request.param)) as url:
        execute(url, *ROWS)
        yield url


@pytest.fixture(params=["postgresql", pytest.param("postgresql17", marks=pytest.mark.exhaustive)])
def small(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[HandMade]:
    with database(request.param, servers, tmp_path) as url:
        yield HandMade(tmp_path, url, SMALL, {"logs": WEEKLY})


@pytest.mark.exhaustive
def test_all_tables_are_converted_and_made_plain_again_in_any_zone(url: str) -> None:
    before = schema_of(url)
    execute(url, "ALTER DATABASE " + _name(url) + " SET timezone = 'America/New_York'")
    for table in (DETAILS, LOGS, AUDIT):  # the details first: their foreign key goes when the logs are converted
        enable(PROJECT, table, engine(url))
    execute(url, "ALTER DATABASE " + _name(url) + " SET timezone = 'Asia/Kolkata'")
    for table in (LOGS, DETAILS, AUDIT):
        assert enable(PROJECT, table, engine(url)).code == "nothing"
        (*_, first) = _bounds(url, table)
        assert re.search(r"MINVALUE\) TO \('\d{4}-\d\d-\d\d 00:00:00(\+00)?'", first), first
    assert commands.check(PROJECT, engine(url)).code == "ok"
    for table in (LOGS, DETAILS, AUDIT):
        undo(PROJECT, table, engine(url))
    assert commands.check(PROJECT, engine(url)).code == "ok"
    assert schema_of(url) == before
    counted = [query(url, f"SELECT count(*) FROM {table}") for table in (LOGS, DETAILS, AUDIT)]
    assert counted == [[(300,)]] * 3


def _name(url: str) -> str:
    return str(query(url, "SELECT quote_ident(current_database())")[0][0])


def _bounds(url: str, table: str) -> list[str]:
    with engine(url).begin() as connection:
        connection.exec_driver_sql("SET LOCAL timezone = 'UTC'")
        return [str(row[0]) for row in connection.exec_driver_sql(BOUNDS.format(table))]


def test_plans_and_answers(url: str, approve: Approve) -> None:
    def told(*args: str) -> str:
        done = schema("partitions", "enable", *args, DATABASE_URL=url)
        text = plain(f"{done.stdout}{done.stderr}")
        text = re.sub(r"\d{4}-\d\d-\d\d 00:00:00", "MIDNIGHT", re.sub(r"20\d{6}", "DAY", text))
        text = re.sub(r"\d+ empty partitions", "N empty partitions", text)
        text = re.sub(r"((?:Made |request_logs: made ).*\n)+", r"\1", text)  # as many as the calendar wants
        return re.sub(r"\d+(\.\d)? (ms|s)\b|[\d.]+ MB", "N", re.sub(r"about [\d,]+ rows", "about N rows", text))

    approve("partitions/enable.txt", told(LOGS))
    assert query(url, f"SELECT relkind FROM pg_class WHERE relname = '{LOGS}'") == [("r",)]
    approve("partitions/enable_done.txt", told(LOGS, "--apply") + told(LOGS, "--apply"))
    approve("partitions/undo.txt", told(LOGS, "--undo"))
    approve("partitions/undo_done.txt", told(LOGS, "--undo", "--apply") + told(LOGS, "--undo", "--apply"))


def test_what_is_not_declared_is_refused(url: str, sqlite_head: str) -> None:
    line = failed(schema("partitions", "enable", "users", DATABASE_URL=url), 2)
    assert line.endswith('Add to its __table_args__: Partitioned(by="COLUMN", every="week", keep="90 days")')
    assert "no table nobody. Declared" in failed(schema("partitions", "enable", "nobody", DATABASE_URL=url), 2)
    for extra in ([], ["--apply"], ["--undo"], ["--undo", "--apply"]):
        line = failed(schema("partitions", "enable", LOGS, *extra, DATABASE_URL=sqlite_head), 2)
        assert line.startswith(f"FAILED: SQLite has no partitions: {LOGS} stays a plain table")


def test_pending_revisions_and_differences_are_refused(url: str) -> None:
    execute(url, f"ALTER TABLE {LOGS} ADD COLUMN mine int")
    shown = schema("partitions", "enable", LOGS, DATABASE_URL=url)
    assert (shown.returncode, f"column {LOGS}.mine: is there" in shown.stdout) == (1, True)
    done = schema("partitions", "enable", LOGS, "--apply", DATABASE_URL=url)
    assert done.returncode == 1
    assert "was not converted, for these are in the way:\n  column" in done.stderr
    execute(url, f"ALTER TABLE {LOGS} DROP COLUMN mine", "UPDATE alembic_version SET version_num = '20260801090000'")
    assert "revisions are pending" in failed(schema("partitions", "enable", LOGS, "--apply", DATABASE_URL=url), 3)


def test_another_partition_key_is_refused(small: HandMade) -> None:
    columns = "id bigint PRIMARY KEY, at timestamp NOT NULL"
    execute(small.url, "DROP TABLE details, logs", f"CREATE TABLE logs ({columns}) PARTITION BY HASH (id)")
    for ask in (plan_enable, enable):
        with pytest.raises(MigrationError, match=r"logs is partitioned by HASH \(id\), and the models declare RANGE"):
            ask(small.project, "logs", small.engine)


def test_a_bound_that_comes_near_is_moved(small: HandMade) -> None:
    soon = query(small.url, "SELECT (timezone('utc', now()) + interval '30 minutes')::timestamp(0)::text")[0][0]
    execute(small.url, f"ALTER TABLE logs ADD CONSTRAINT logs_until CHECK (at < '{soon}')")
    execute(
        small.url, f"COMMENT ON CONSTRAINT logs_until ON logs IS '{PREFIX}logs from MINVALUE to {soon} UTC, converting'"
    )
    execute(small.url, "CREATE UNIQUE INDEX logs_until_key ON logs (id, at)")
    done = enable(small.project, "logs", small.engine)
    assert done.bound is not None
    assert done.bound > dt.datetime.fromisoformat(str(soon))
    assert small.in_plain_form() == small.expected


def test_an_unfinished_conversion_is_no_difference_and_an_alarm(url: str) -> None:
    mark = f"{PREFIX}{LOGS} from MINVALUE to 2099-01-05 00:00:00 UTC, converting"
    execute(
        url,
        f"ALTER TABLE {LOGS} ADD CONSTRAINT {LOGS}_until CHECK (request_time < '2099-01-05')",
        f"COMMENT ON CONSTRAINT {LOGS}_until ON {LOGS} IS '{mark}'",
        f"CREATE UNIQUE INDEX {LOGS}_until_key ON {LOGS} (id, request_time)",
    )
    assert schema("deploy", DATABASE_URL=url).returncode == 0
    checked = commands.check(PROJECT, engine(url))
    assert (checked.drift.open, checked.wanted) == ([], [])
    told = schema("status", "--exit-code", DATABASE_URL=url)
    assert told.returncode == 10
    assert (
        f"The conversion of {LOGS} isn't finished, and from 2099-01-05 00:00 UTC on each INSERT fails." in told.stdout
    )
    assert f"{LOGS}: being converted, rows are taken until 2099-01-05 00:00 UTC" in told.stdout
    assert PROJECT.is_current(engine(url))
    shown = plan_undo(PROJECT, LOGS, engine(url))
    assert [len(step.statements) for step in shown.steps] == [2]
    undo(PROJECT, LOGS, engine(url))
    assert schema("status", "--exit-code", DATABASE_URL=url).returncode == 0


def test_a_row_of_tomorrow_moves_the_bound_behind_it(small: HandMade) -> None:
    execute(small.url, "INSERT INTO logs (at) VALUES (timezone('utc', now()) + interval '20 days')")
    done = enable(small.project, "logs", small.engine)
    last = query(small.url, "SELECT max(at) FROM logs")[0][0]
    assert done.bound is not None
    assert isinstance(last, dt.datetime)
    assert last < done.bound <= last + dt.timedelta(days=7)


MONDAY = dt.datetime(2026, 11, 30)  # noqa: DTZ001 - naive and UTC


@pytest.mark.parametrize(
    ("now", "seconds", "newest", "bound"),
    [
        ("2026-11-30 12:00", 0, None, "2026-12-07 00:00"),
        ("2026-12-06 17:59", 0, None, "2026-12-07 00:00"),
        ("2026-12-06 18:00", 0, None, "2026-12-07 00:00"),
        ("2026-12-06 18:01", 0, None, "2026-12-14 00:00"),
        ("2026-12-05 12:00", 12 * 3600, None, "2026-12-07 00:00"),
        ("2026-12-05 12:01", 12 * 3600, None, "2026-12-14 00:00"),
        ("2026-11-30 12:00", 0, "2026-12-06 23:59:59.999999", "2026-12-07 00:00"),
        ("2026-11-30 12:00", 0, "2026-12-07 00:00", "2026-12-14 00:00"),
    ],
)
def test_the_bound_lies_ahead_of_now_and_of_all_rows(now: str, seconds: float, newest: str | None, bound: str) -> None:
    read = dt.datetime.fromisoformat
    found = first_bound(Period.WEEK, read(now), seconds, read(newest) if newest else None)
    assert found == read(bound)


def test_the_plan_tells_what_an_insert_may_not_do_any_more(small: HandMade) -> None:
    execute(
        small.url,
        "CREATE TABLE days (log bigint PRIMARY KEY, at timestamp NOT NULL)",
        "CREATE FUNCTION today() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.at := coalesce(NEW.at, timezone('utc', now())); RETURN NEW; END $$",
        'CREATE TRIGGER "is ""set""" BEFORE INSERT OR UPDATE ON days FOR EACH ROW EXECUTE FUNCTION today()',
        "CREATE TRIGGER moved BEFORE UPDATE ON days FOR EACH ROW EXECUTE FUNCTION today()",
        "CREATE TRIGGER once BEFORE INSERT ON days EXECUTE FUNCTION today()",
        "CREATE TRIGGER later AFTER INSERT ON days FOR EACH ROW EXECUTE FUNCTION today()",
    )
    declared = Declared("days", "at", ("log",), Schedule.parse("day", None, None))
    with db.connect(small.engine) as connection:
        found = quick_look(connection, declared)
    lines = [*changes_of(found.target)]
    assert "(log) alone isn't kept unique any more; a second row with it isn't refused." in lines
    assert [line.split(" changes ")[0] for line in lines if "trigger" in line] == [
        'An INSERT fails if the trigger is "set"'
    ]
    with db.connect(small.engine) as connection:
        connection.exec_driver_sql("CREATE TABLE parts (LIKE days) PARTITION BY RANGE (at)")
        connection.exec_driver_sql("CREATE TABLE part PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (MAXVALUE)")
        connection.exec_driver_sql("CREATE TRIGGER one BEFORE INSERT ON parts FOR EACH ROW EXECUTE FUNCTION today()")
        with pytest.raises(sa.exc.IntegrityError, match="no partition of relation"):
            connection.exec_driver_sql("INSERT INTO parts (log) VALUES (1)")


def refused(small: HandMade) -> str:
    """What keeps a table from being made plain; the plan says the same, and nothing is changed."""
    before = small.taken()
    planned = plan_undo(small.project, "logs", small.engine)
    with pytest.raises(MigrationError) as caught:
        undo(small.project, "logs", small.engine)
    assert small.taken() == before
    lines = str(caught.value).splitlines()[1:]
    assert planned.refusals == [line.strip() for line in lines]
    (line,) = planned.refusals
    return line


def test_the_way_back_is_closed_where_it_would_lose_something(small: HandMade) -> None:
    url = small.url
    made = enable(small.project, "logs", small.engine).created
    for statement, undone, line in (
        (
            "INSERT INTO logs (at) VALUES (timezone('utc', now()) + interval '8 days')",
            "DELETE FROM logs WHERE at > timezone('utc', now())",
            "_p20",
        ),
        ("CREATE VIEW v AS SELECT at FROM logs", "DROP VIEW v", "view v depends on the partitioned logs"),
        (
            "CREATE TABLE theirs PARTITION OF logs FOR VALUES FROM ('2099-01-01') TO ('2100-01-01')",
            "DROP TABLE theirs",
            "theirs was not made here",
        ),
        (
            "CREATE TABLE more (log bigint, at timestamp, FOREIGN KEY (log, at) REFERENCES logs)",
            "DROP TABLE more",
            "the foreign key more_log_at_fkey of more refers to the partitioned table",
        ),
        (
            f"COMMENT ON TABLE {made[0]} IS NULL",
            f"COMMENT ON TABLE {made[0]} IS 'schema partitions: logs from 2026-01-01 to 2026-01-02 UTC, kept'",
            f"{made[0]} was not made here",
        ),
    ):
        execute(url, statement)
        assert line in refused(small), statement
        execute(url, undone)
    execute(url, "INSERT INTO logs (id, at) VALUES (1, timezone('utc', now()))")
    with pytest.raises(
        MigrationError, match="two rows have the same id, which the plain table would keep un"
    ) as caught:
        undo(small.project, "logs", small.engine)
    assert query(url, str(caught.value).rpartition(": ")[2]) == [(1,)]
    assert query(url, "SELECT count(*) FROM pg_class WHERE relname = 'logs_plain_key'") == [(0,)]
    execute(url, "DELETE FROM logs WHERE (id, at) IN (SELECT id, max(at) FROM logs WHERE id = 1 GROUP BY id)")
    undo(small.project, "logs", small.engine)
    assert small.taken() == small.expected


def test_details_whose_log_is_gone_are_named_after_the_way_back(small: HandMade) -> None:
    enable(small.project, "logs", small.engine)
    execute(small.url, "DELETE FROM logs WHERE id = 7")
    with pytest.raises(MigrationError, match="logs is plain again, and details_log_fkey isn't proved yet: delete the"):
        undo(small.project, "logs", small.engine)
    assert [step.statements for step in plan_undo(small.project, "logs", small.engine).steps] == [
        ["ALTER TABLE details VALIDATE CONSTRAINT details_log_fkey"]
    ]
    execute(small.url, "DELETE FROM details WHERE log = 7")
    undo(small.project, "logs", small.engine)
    assert small.taken() == small.expected


def test_what_changed_meanwhile_is_carried_back(small: HandMade, servers: Servers) -> None:
    url = small.url
    enable(small.project, "logs", small.engine)
    grants = (
        "GRANT SELECT ON logs TO PUBLIC",
        "REVOKE DELETE ON logs FROM postgres",
        "ALTER TABLE logs ALTER key SET STATISTICS 9",
    )
    create_ahead(small.project, small.engine, small.project.declarations()["logs"])
    execute(url, *grants)
    undo(small.project, "logs", small.engine)
    major = int(str(query(url, "SELECT current_setting('server_version_num')::int / 10000")[0][0]))
    after = dump(servers[major], url)
    with database("postgresql" if major == 18 else f"postgresql{major}", servers, Path()) as other:
        execute(other, *SMALL, *grants, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        assert dump(servers[major], other) == after


def test_a_role_that_is_the_owner_s_member_converts_in_its_own_schema(servers: Servers, tmp_path: Path) -> None:
    with database("postgresql", servers, tmp_path) as url:
        execute(
            url,
            *(
                f"DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
                for role in ("its_owner", "its_member", "its_reader")
            ),
            "GRANT its_owner TO its_member",
            'CREATE SCHEMA "My Schema" AUTHORIZATION its_owner',
            'GRANT ALL ON SCHEMA "My Schema" TO its_member',
            'GRANT USAGE ON SCHEMA "My Schema" TO its_reader',
            f'ALTER DATABASE {_name(url)} SET search_path = "My Schema", public',
        )
        owner, member = (url.replace("postgres@", f"{role}@") for role in ("its_owner", "its_member"))
        small = HandMade(tmp_path, owner, [*SMALL, "GRANT SELECT ON logs TO its_reader"], {"logs": WEEKLY})
        before = dump(servers[18], url)
        for table in ("alembic_version", "keys", "details"):
            execute(owner, f"GRANT ALL ON {table} TO its_member")
        before = dump(servers[18], url)
        enable(small.project, "logs", engine(member))
        assert small.in_plain_form() == small.expected
        owners = "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relname LIKE 'logs%'"
        assert query(url, owners) == [("its_owner",)]
        execute(url.replace("postgres@", "its_reader@"), 'SELECT * FROM "My Schema".logs')
        undo(small.project, "logs", engine(member))
        assert dump(servers[18], url) == before


@pytest.mark.parametrize(
    "key",
    everyday(
        ["(id, at)", "(at, id)", "(id) DEFERRABLE INITIALLY DEFERRED", "(id, kind)"],
        ["(at, id)", "(id) DEFERRABLE INITIALLY DEFERRED"],
    ),
)
def test_each_kind_of_key_goes_there_and_back(key: str, servers: Servers, tmp_path: Path) -> None:
    with database("postgresql", servers, tmp_path) as url:
        columns = f"id bigserial, kind int DEFAULT 1, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY {key}"
        made = HandMade(tmp_path, url, [f"CREATE TABLE logs ({columns})"], {"logs": WEEKLY})
        execute(url, "INSERT INTO logs (at) SELECT now() - g * interval '1 hour' FROM generate_series(1, 9) g")
        before = dump(servers[18], url)
        enable(made.project, "logs", made.engine)
        assert made.in_plain_form() == made.expected
        undo(made.project, "logs", made.engine)
        assert dump(servers[18], url) == before
