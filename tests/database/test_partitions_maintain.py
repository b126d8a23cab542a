"""`schema partitions maintain`: partitions ahead, and the end of rows that are older than they are kept."""

import datetime as dt
import gzip
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from app.errors import SchemaError
from app.migrations import commands, run
from app.migrations.partitions import Maintenance, clock, create_ahead
from app.migrations.project import Limits
from app.periods import Period
from tests.support.database_access import engine, execute, query
from tests.support.databases import Servers, database, everyday
from tests.support.kept_events import ADDRESS, BY, NOW, TABLE, Kept, at
from tests.support.ledger_rows import holder

OLD, RECENT, CURRENT = "2026-08-10 00:00", "2026-08-17 00:00", "2026-11-30 00:00"
Make = Callable[..., Kept]


@pytest.fixture(params=["postgresql", pytest.param("postgresql17", marks=pytest.mark.exhaustive)])
def make(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Make]:
    """Makes the project of the events on an empty database."""
    with database(request.param, servers, tmp_path) as url:
        yield lambda **options: Kept(url, tmp_path, **options)


def maintain(kept: Kept, now: dt.datetime | None = NOW, **options: Any) -> Maintenance:
    """Maintains, and refuses a failure."""
    done = commands.maintain(kept.project, engine(kept.url), now=now, **options)
    assert done.failures == []
    assert holder(kept.url) is None
    return done


def failure(kept: Kept, now: dt.datetime | None = NOW, **options: Any) -> str:
    """The message of the one failure."""
    done = commands.maintain(kept.project, engine(kept.url), now=now, **options)
    [failed] = done.failures
    assert done.exit_code == 1
    assert "\n" not in failed.message
    return failed.message


def steps(done: Maintenance) -> Sequence[str]:
    return [f"{step.action} {step.subject}" for step in done.steps]


@pytest.mark.parametrize(
    "where",
    everyday(
        itertools.product(["America/New_York", "Asia/Kolkata", "Pacific/Apia"], [False, True]),
        [("America/New_York", True), ("Asia/Kolkata", False)],
    ),
)
def test_bounds_are_utc_whatever_the_zone(make: Make, where: tuple[str, bool]) -> None:
    zone, zoned = where
    kept = make(zoned=zoned, every="day", keep=None)
    kept.partitioned("2026-10-31 00:00")
    name = kept.url.rpartition("/")[2]
    execute(kept.url, f"ALTER DATABASE {name} SET TimeZone = '{zone}'", f"ALTER DATABASE {name} SET DateStyle = 'SQL'")
    # The clocks of New York change on the first day, those of Kolkata and Apia don't any more.
    maintain(kept, at("2026-11-01 05:30"))
    days = [at("2026-10-31") + dt.timedelta(days=number) for number in range(17)]
    assert kept.bounds() == [(None, days[0]), *itertools.pairwise(days)]
    kept.fill("2026-11-01 23:59:59.999999", "2026-11-02 00:00:00")
    found = query(kept.url, f"SELECT tableoid::regclass::text FROM {ADDRESS} ORDER BY id")
    assert [str(name).strip('"')[-9:] for (name,) in found] == ["p20261101", "p20261102"]
    assert maintain(kept, at("2026-11-01 05:30")).steps == []


def test_a_new_partition_is_like_the_newest_one(make: Make) -> None:
    kept = make()
    kept.partitioned(CURRENT)
    newest, role = '"events_first"', f"reader of {kept.url.rpartition('/')[2]}"
    execute(
        kept.url,
        f'CREATE ROLE "{role}"',
        f'CREATE ROLE "{role} 2"',
        f'GRANT CREATE, USAGE ON SCHEMA public TO "{role} 2"',
        f'GRANT REFERENCES ON keys TO "{role} 2"',
        f'GRANT SELECT, INSERT ON {newest} TO "{role}" WITH GRANT OPTION',
        f"GRANT UPDATE (text) ON {newest} TO PUBLIC",
        f'ALTER TABLE {ADDRESS} OWNER TO "{role} 2"',
        f'ALTER TABLE {newest} OWNER TO "{role} 2"',
        f"ALTER TABLE {newest} SET (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false)",
        f"ALTER TABLE {newest} ALTER text SET STATISTICS 7, ALTER key SET (n_distinct = -0.5)",
        f"ALTER TABLE {ADDRESS} ALTER text SET STORAGE EXTERNAL, ALTER text SET COMPRESSION pglz",
        f"ALTER TABLE {newest} ALTER text SET STORAGE EXTERNAL, ALTER text SET COMPRESSION pglz",
        f"COMMENT ON COLUMN {newest}.id IS '100% its key'",
        f"ALTER TABLE {ADDRESS} ADD CONSTRAINT short CHECK (length(text) < 100)",
        f"CREATE INDEX lower ON {ADDRESS} (lower(text)) WHERE text IS NOT NULL",
        f"CREATE STATISTICS both_ ON key, text FROM {ADDRESS}",
        f'CREATE UNIQUE INDEX identity ON {ADDRESS} ("{BY}", id)',
        'ALTER TABLE events_first REPLICA IDENTITY USING INDEX "events_first_happened at_id_idx"',
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN NEW.text := upper(NEW.text); RETURN NEW; END'",
        f"CREATE TRIGGER shouts BEFORE INSERT ON {ADDRESS} FOR EACH ROW EXECUTE FUNCTION shout()",
    )
    made = maintain(kept).steps[0].subject
    kept.fill("2026-12-01 00:00")
    assert query(kept.url, f"SELECT text FROM {ADDRESS}") == [("X",)]
    for question in FACTS:
        seen = [
            query(kept.url, question.format(name.replace("'", "''")))
            for name in ('"events_first"', f'"{_quoted(made)}"')
        ]
        assert seen[0] == seen[1] != [], question
    with pytest.raises(Exception, match="short"):
        execute(kept.url, f"INSERT INTO {ADDRESS} (\"{BY}\", text) VALUES ('2026-12-01', repeat('x', 100))")
    with pytest.raises(Exception, match="foreign key"):
        execute(kept.url, f"INSERT INTO {ADDRESS} (\"{BY}\", key) VALUES ('2026-12-01', 77)")
    execute(kept.url, f'DROP OWNED BY "{role}", "{role} 2"', "DROP TABLE keys", f'DROP ROLE "{role}", "{role} 2"')


FACTS = [
    "SELECT relowner, reloptions, relreplident, relacl::text, relpersistence FROM pg_class WHERE oid = '{0}'::regclass",
    "SELECT t.reloptions FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = '{0}'::regclass",
    (
        "SELECT attname, attnotnull, attstattarget, attoptions, attstorage, attcompression, attacl::text, "
        "col_description(attrelid, attnum), pg_get_expr(adbin, adrelid) FROM pg_attribute "
        "LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum "
        "WHERE attrelid = '{0}'::regclass AND attnum > 0 ORDER BY attnum"
    ),
    (
        "SELECT conname, contype, pg_get_constraintdef(oid), conparentid <> 0 FROM pg_constraint "
        "WHERE conrelid = '{0}'::regclass AND contype IN ('f', 'c') ORDER BY conname"
    ),
    (
        "SELECT i.inhparent::regclass::text, x.indisreplident FROM pg_index x "
        "JOIN pg_inherits i ON i.inhrelid = indexrelid "
        "WHERE indrelid = '{0}'::regclass ORDER BY 1"
    ),
    "SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = '{0}'::regclass AND NOT tgisinternal ORDER BY 1",
]


def _quoted(name: str) -> str:
    return name.replace('"', '""')


def test_a_name_that_is_taken_gets_a_number(make: Make) -> None:
    kept = make()
    kept.partitioned(CURRENT)
    execute(kept.url, f'CREATE TABLE "{_quoted(TABLE)}_p20261130" (id int)')
    assert steps(maintain(kept))[0] == f"create {TABLE}_p20261130_2"


def test_what_is_old_is_dropped_and_recorded(make: Make) -> None:
    kept = make()
    kept.partitioned(OLD, RECENT, CURRENT)
    kept.fill("2020-01-01 00:00", "2026-08-09 12:00", "2026-08-10 00:00", "2026-08-17 00:00", "2026-11-29 00:00")
    planned = commands.maintain(kept.project, engine(kept.url), dry_run=True, now=NOW)
    assert kept.count() == 5
    done = maintain(kept)
    assert steps(planned) == steps(done)
    assert steps(done)[3:] == ["drop events_first", "drop events_2026-08-10"]
    assert kept.count() == 2
    assert kept.alone() == []
    rows = [
        (outcome, subject, json.loads(text)) for outcome, subject, text in kept.ledger("outcome, subject, evidence")
    ]
    dropped = [(subject, values["low"], values["high"], values["rows"]) for outcome, subject, values in rows[3:]]
    assert dropped == [
        ("partition events_first", None, "2026-08-10 00:00:00", 2),
        ("partition events_2026-08-10", "2026-08-10 00:00:00", "2026-08-17 00:00:00", 1),
    ]
    assert [values["bytes"] > 8192 for _, _, values in rows[3:]] == [True, True]
    assert maintain(kept).steps == []


def test_the_planner_knows_the_whole_table(make: Make) -> None:
    kept = make()
    kept.partitioned(OLD, RECENT, CURRENT)
    kept.fill(*["2026-11-29 00:00"] * 50)
    rows = f"SELECT reltuples FROM pg_class WHERE oid = '{ADDRESS}'::regclass"
    assert maintain(kept).steps
    assert query(kept.url, rows) == [(50,)]
    kept.fill(*["2026-11-29 00:00"] * 50)
    assert maintain(kept).steps == []
    assert query(kept.url, rows) == [(50,)]  # once is enough, until its partitions are others
    maintain(kept, now=NOW + dt.timedelta(weeks=1))
    # Before 18 each partition would be read as well: once a week is enough.
    reads_all = query(kept.url, "SELECT current_setting('server_version_num')::int < 180000")[0][0]
    assert query(kept.url, rows) == [(50 if reads_all else 100,)]


@pytest.mark.parametrize("zoned", everyday([False, True], [True]))
def test_an_archive_can_be_loaded_again(make: Make, tmp_path: Path, *, zoned: bool) -> None:
    kept = make(zoned=zoned)
    kept.partitioned(OLD, CURRENT)
    execute(kept.url, f"ALTER TABLE {ADDRESS} ADD COLUMN twice int GENERATED ALWAYS AS (key * 2) STORED")
    kept.fill(*["2026-08-09 12:00"] * 300, "2026-11-29 00:00")
    odd = ["", "NULL", "\\.", 'a"b,c', "two\nlines\r\n", "ü ☃", "\\N", " "]
    for text in odd:
        escaped = text.replace("'", "''")
        execute(kept.url, f"INSERT INTO {ADDRESS} (\"{BY}\", text) VALUES ('2026-08-01 00:00:00', '{escaped}')")
    execute(kept.url, f"INSERT INTO {ADDRESS} (\"{BY}\") VALUES ('2026-08-01 00:00:00.123456')")
    before = query(kept.url, f"SELECT * FROM {ADDRESS} ORDER BY id")
    folder = tmp_path / "archive"
    folder.mkdir()
    [step] = [step for step in maintain(kept, archive=folder).steps if step.archive]
    assert kept.count() == 1
    assert sorted(file.name for file in folder.iterdir()) == ["events_first.csv.gz", "events_first.json"]
    manifest = json.loads((folder / "events_first.json").read_text(encoding="utf-8"))
    assert (manifest["rows"], manifest["sha256"], manifest["high"]) == (309, step.sha256, "2026-08-10 00:00:00")
    assert [column["name"] for column in manifest["columns"]] == ["id", BY, "key", "text"]
    kept.attach(None, "2026-08-10 00:00", name="events_again")
    load(kept.url, folder / "events_first.csv.gz")
    assert query(kept.url, f"SELECT * FROM {ADDRESS} ORDER BY id") == before


def load(url: str, file: Path) -> None:
    """Loads an archive as the documentation says, without psql."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection, gzip.open(file) as content:
        columns = ", ".join(f'"{name}"' for name in content.readline().decode().strip().split(","))
        with connection.cursor().copy(f"COPY {ADDRESS} ({columns}) FROM STDIN WITH (FORMAT csv)") as copy:
            while block := content.read(1 << 16):
                copy.write(block)


def test_an_archive_never_replaces_another(make: Make, tmp_path: Path) -> None:
    kept = make()
    kept.partitioned(OLD, CURRENT)
    kept.fill("2026-08-09 12:00", "2026-11-29 00:00")
    (tmp_path / "events_first.csv.gz").write_text("mine", encoding="utf-8")
    (tmp_path / "events_first-2.json").write_text('{"partition": "events_first"}', encoding="utf-8")
    [step] = [step for step in maintain(kept, archive=tmp_path).steps if step.archive]
    assert step.archive == str(tmp_path / "events_first-3.csv.gz")
    assert (tmp_path / "events_first.csv.gz").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("text", ["x", "y"])
def test_an_archive_of_a_copy_of_the_database_replaces_it_only_if_it_is_the_same(
    make: Make, tmp_path: Path, text: str
) -> None:
    kept = make()
    kept.partitioned(OLD, CURRENT)
    kept.fill("2026-08-09 12:00", "2026-11-29 00:00")
    execute(kept.url, "CREATE VIEW in_the_way AS SELECT * FROM events_first")  # written, and not dropped yet
    commands.maintain(kept.project, engine(kept.url), now=NOW, archive=tmp_path)
    first = gzip.decompress((tmp_path / "events_first.csv.gz").read_bytes())
    # As in a copy on another server, which has the same names and numbers, or in a restored one.
    execute(kept.url, "DROP VIEW in_the_way", f"UPDATE events_first SET text = '{text}'")
    [step] = [step for step in maintain(kept, archive=tmp_path).steps if step.archive]
    assert step.archive == str(tmp_path / f"events_first{'-2' * (text != 'x')}.csv.gz")
    assert gzip.decompress((tmp_path / "events_first.csv.gz").read_bytes()) == first
    assert len([*tmp_path.iterdir()]) == 2 * (1 + (text != "x"))


def test_a_folder_that_is_not_there_is_told_before_anything_is_detached(make: Make, tmp_path: Path) -> None:
    kept = make()
    kept.partitioned(OLD, CURRENT)
    kept.fill("2026-08-09 12:00", "2026-11-29 00:00")
    said = failure(kept, archive=tmp_path / "none")
    assert said == (
        f"The archive in {tmp_path / 'none'} can't be written (No such file or directory). No partition was dropped "
        "without it."
    )
    assert (kept.count(), kept.alone()) == (2, [])
    assert len(kept.attached()) == 5  # those ahead are made first


def test_what_is_not_ours_is_left_alone(make: Make) -> None:
    kept = make()
    kept.partitioned(OLD)
    kept.attach(OLD, RECENT, mark=False)
    kept.attach(CURRENT, "2026-12-09 12:00", mark=False, name="by hand")
    kept.fill("2026-08-10 00:00", "2026-12-01 00:00")
    done = maintain(kept, accept_empty=True)
    assert steps(done)[0] == f"create {TABLE}_p20261209"
    assert kept.bounds()[-2:] == [
        (at("2026-12-09 12:00"), at("2026-12-14")),
        (at("2026-12-14"), at("2026-12-21")),
    ]
    assert done.notes == [
        (
            f"events_2026-08-10, by hand of {TABLE} are not ours: left alone, whatever the age. To take over: "
            f"schema partitions adopt {TABLE}"
        )
    ]
    assert kept.count() == 2


@pytest.mark.parametrize("form", ["", "DROP text, ADD text text GENERATED ALWAYS AS ('x') STORED", "turned"])
@pytest.mark.parametrize("today", [False, True])
def test_rows_of_the_default_partition_are_moved_as_the_message_says(make: Make, form: str, *, today: bool) -> None:
    kept = make()
    kept.partitioned(OLD, CURRENT)
    if form == "turned":  # the columns have another order, as in a table that was attached
        execute(
            kept.url,
            f'CREATE TABLE others (text text, key int, "{BY}" timestamp NOT NULL, id bigint NOT NULL)',
            f"ALTER TABLE {ADDRESS} ATTACH PARTITION others DEFAULT",
        )
    else:
        execute(kept.url, f"CREATE TABLE others PARTITION OF {ADDRESS} DEFAULT")
        execute(kept.url, *([f"ALTER TABLE {ADDRESS} {form}"] if form else []))
    moment = "2026-12-01 00:00" if today else "2026-12-08 00:00"
    insert = f'INSERT INTO {ADDRESS} ("{BY}", key) VALUES'
    execute(kept.url, f"{insert} ('2026-11-29', 1)", f"{insert} ('{moment}', 2)")
    said = failure(kept)
    low, high = ("2026-11-30", "2026-12-07") if today else ("2026-12-07", "2026-12-14")
    assert f"the default partition others has rows from {low} 00:00:00 to {high} 00:00:00 UTC" in said
    assert failure(kept, dry_run=True) == said
    begin, _, rest = said.partition("no INSERT fails: ")[2].partition("; then schema partitions adopt ")
    exchange = begin.removeprefix("BEGIN; ").removesuffix("; COMMIT")
    execute(kept.url, *exchange.split("; "), f"{insert} ('{moment}', 2)")
    commands.adopt_partitions(kept.project, TABLE, engine(kept.url), apply=True)
    maintain(kept)
    execute(kept.url, rest.rpartition("; ")[2])
    assert query(kept.url, f'SELECT "{BY}"::text, key FROM {ADDRESS} ORDER BY 1') == [
        ("2026-11-29 00:00:00", 1),
        *[(f"{moment}:00", 2)] * 2,
    ]
    assert maintain(kept).steps == []


def test_a_default_partition_is_dealt_with(make: Make) -> None:
    kept = make()
    kept.partitioned(OLD, CURRENT)
    execute(kept.url, f"CREATE TABLE others PARTITION OF {ADDRESS} DEFAULT")
    kept.fill("2026-08-09 12:00", "2026-11-29 00:00", "2030-01-01 00:00")
    done = maintain(kept)
    assert [note.partition(" is ")[0] for note in done.notes] == ["others"]
    assert "drop events_first" in steps(done)
    assert kept.count() == 2


def test_a_default_partition_that_takes_long_to_read_needs_a_check(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = make()
    kept.partitioned(CURRENT)
    execute(
        kept.url,
        f"CREATE TABLE others PARTITION OF {ADDRESS} DEFAULT",
        f"INSERT INTO {ADDRESS} (\"{BY}\") SELECT '2030-01-01' FROM generate_series(1, 100000)",
    )
    with monkeypatch.context() as patched:
        patched.setattr("app.migrations.partitions.defaults._LOOK_SECONDS", 0.001)
        said = failure(kept)
    execute(kept.url, *said.partition("run the same command again: ")[2].split("; "))
    notices = []
    with psycopg.connect(kept.url.replace("+psycopg", "")) as connection:
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        connection.execute("SET client_min_messages = debug1")
        connection.execute(
            f"CREATE TABLE new_one PARTITION OF {ADDRESS} FOR VALUES FROM ('2026-11-30') TO ('2026-12-07')"
        )
        connection.rollback()
    assert any("others" in str(notice) and "implied by existing constraints" in str(notice) for notice in notices)
    assert len(maintain(kept).steps) == 3


def test_keep_may_be_raised_at_any_time(make: Make) -> None:
    kept = make()
    kept.partitioned("2026-08-03 00:00", OLD, RECENT, CURRENT)
    kept.fill("2026-08-01 00:00", "2026-08-09 12:00", "2026-08-10 00:00", "2026-11-29 00:00")
    execute(kept.url, *_marked("events_first", None, "2026-08-03 00:00:00", "retiring"))
    execute(kept.url, *_marked("events_2026-08-03", "2026-08-03 00:00:00", "2026-08-10 00:00:00", "retiring"))
    execute(
        kept.url,
        f'ALTER TABLE {ADDRESS} DETACH PARTITION "events_2026-08-03"',
        'ALTER TABLE "events_2026-08-03" DROP CONSTRAINT "Events ""log""_key_fkey"',
    )
    assert kept.count() == 3
    kept.keep = "1 year"
    done = maintain(kept)
    assert sorted(steps(done)[3:]) == ["keep events_2026-08-03", "keep events_first"]
    assert kept.count() == 4
    assert {own.mark and own.mark.state for own in kept.attached()} == {"kept"}
    with pytest.raises(Exception, match="foreign key"):
        execute(kept.url, 'UPDATE "events_2026-08-03" SET key = 77')
    assert maintain(kept).steps == []


@pytest.mark.parametrize(("zoned", "name"), [(False, "events_first"), (True, "events_2026-08-03")])
def test_what_is_taken_back_is_read_before_its_neighbours_are_locked(make: Make, zoned: bool, name: str) -> None:
    kept = make(zoned=zoned)
    kept.partitioned("2026-08-03 00:00", OLD, CURRENT)
    kept.fill("2026-08-01 00:00", "2026-08-09 12:00", "2026-11-29 00:00")
    low = None if name == "events_first" else "2026-08-03 00:00:00"
    execute(kept.url, *_marked(name, low, "2026-08-03 00:00:00" if low is None else "2026-08-10 00:00:00", "retiring"))
    execute(
        kept.url,
        f'ALTER TABLE {ADDRESS} DETACH PARTITION "{name}"',  # not concurrently, which adds a CHECK of the bounds
        f"CREATE TABLE others PARTITION OF {ADDRESS} DEFAULT",
        f"ALTER DATABASE {kept.url.rpartition('/')[2]} SET client_min_messages = debug1",
    )
    kept.keep, said = None, list[str]()

    def listen(driver: psycopg.Connection, _record: object) -> None:
        driver.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))

    sa.event.listen(engine(kept.url), "connect", listen)
    assert steps(maintain(kept))[-1] == f"keep {name}"
    sa.event.remove(engine(kept.url), "connect", listen)
    assert f'partition constraint for table "{name}" is implied by existing constraints' in said
    assert kept.count() == 3
    checks = query(
        kept.url, f"SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = '\"{name}\"'::regclass"
    )
    assert checks == []


def _marked(name: str, low: str | None, high: str, state: str) -> list[str]:
    text = f"schema partitions: {TABLE} from {low or 'MINVALUE'} to {high} UTC, {state}"
    return [f"COMMENT ON TABLE \"{name}\" IS '{text}'"]


def test_what_a_person_detached_is_left_alone(make: Make) -> None:
    kept = make()
    kept.partitioned(OLD, CURRENT)
    kept.fill("2026-08-09 12:00", "2026-11-29 00:00")
    execute(kept.url, f"ALTER TABLE {ADDRESS} DETACH PARTITION events_first")
    done = maintain(kept)
    assert done.notes == ["events_first was detached by a person: left alone, with its rows"]
    assert query(kept.url, "SELECT count(*) FROM events_first") == [(1,)]


def test_what_a_killed_run_has_made_is_made_again_unless_it_has_rows(make: Make) -> None:
    kept = make()
    kept.partitioned(CURRENT)
    for name in ("left", "written to"):
        execute(kept.url, f'CREATE TABLE "{name}" (id int)')
        execute(kept.url, *_marked(name, "2026-11-30 00:00:00", "2026-12-07 00:00:00", "making"))
    execute(kept.url, 'INSERT INTO "written to" VALUES (1)')
    assert len(maintain(kept).steps) == 3
    assert [own.name for own in kept.alone()] == ["written to"]
    assert maintain(kept).steps == []


@pytest.mark.parametrize("part", everyday(["retiring", "detached", "unreferenced"], ["detached"]))
def test_what_a_killed_run_has_begun_is_ended(make: Make, part: str) -> None:
    kept = make()
    kept.partitioned(OLD, CURRENT)
    kept.fill("2026-08-09 12:00", "2026-11-29 00:00")
    execute(kept.url, *_marked("events_first", None, "2026-08-10 00:00:00", "retiring"))
    if part != "retiring":
        execute(kept.url, f"ALTER TABLE {ADDRESS} DETACH PARTITION events_first")
    if part == "unreferenced":
        execute(kept.url, 'ALTER TABLE events_first DROP CONSTRAINT "Events ""log""_key_fkey"')
    assert steps(maintain(kept))[-1] == "drop events_first"
    assert [(subject, json.loads(text).get("rows")) for subject, text in kept.ledger("subject, evidence")][-1] == (
        "partition events_first",
        1,
    )


def test_a_run_a_year_late_makes_what_is_kept_and_now(make: Make) -> None:
    kept = make()
    kept.partitioned(CURRENT)
    maintain(kept)
    kept.fill("2026-12-20 00:00")
    late = at("2027-11-30 12:00")
    done = maintain(kept, late, accept_empty=True)
    made = [step for step in done.steps if step.action == "create"]
    assert made[0].low == Period.WEEK.start(at("2027-09-01 12:00"))
    assert made[-1].high == at("2027-12-20")
    assert len(made) == 16
    assert kept.count() == 0


def test_a_clock_that_jumped_drops_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = make()
    kept.partitioned(OLD, CURRENT)
    kept.fill("2026-08-09 12:00", "2026-11-29 00:00")
    ahead = failure(kept, at("2027-11-30 12:00"))
    assert ahead.startswith(f"Nothing was dropped: no row of {TABLE} is younger than 90 days, so that all of them")
    assert ahead.endswith("say --accept-empty")
    assert failure(kept, at("2027-11-30 12:00"), dry_run=True) == ahead
    bounds = kept.bounds()
    assert maintain(kept, at("2020-01-01 00:00")).steps == []
    assert kept.bounds() == bounds
    monkeypatch.setattr(clock, "machine_now", lambda: at("2026-11-30 12:00"))
    monkeypatch.setattr(clock, "_POSTGRESQL", "SELECT timestamp '2026-11-30 13:00:01'")
    said = failure(kept, None)
    assert "the server's clock says 2026-11-30 13:00 UTC and this machine's 2026-11-30 12:00 UTC" in said
    monkeypatch.setattr(clock, "_POSTGRESQL", "SELECT timestamp '2026-11-30 12:59:59'")
    maintain(kept, None)
    assert kept.count() == 1


def test_an_empty_table_may_lose_its_empty_partitions(make: Make) -> None:
    kept = make()
    kept.partitioned(OLD, CURRENT)
    assert "drop events_first" in steps(maintain(kept))


def test_a_clock_far_ahead_makes_no_thousands(make: Make) -> None:
    kept = make(every="day", keep=None)
    kept.partitioned(CURRENT)
    assert "Is the server's clock right (2036-11-30 12:00 UTC)?" in failure(kept, at("2036-11-30 12:00"))
    assert len(kept.attached()) == 1


def test_another_key_or_a_plain_word_is_refused(make: Make) -> None:
    kept = make()
    kept.partitioned(CURRENT)
    execute(
        kept.url, f"DROP TABLE {ADDRESS}", f'CREATE TABLE {ADDRESS} (id int, "{BY}" timestamp) PARTITION BY LIST (id)'
    )
    assert f"{TABLE} is partitioned by LIST (id), and the models declare RANGE ({BY})" in failure(kept)
    with pytest.raises(SchemaError, match=r"other isn't declared.*Declared: Events"):
        commands.maintain(kept.project, engine(kept.url), tables=["other"])


def test_a_table_that_is_not_there_is_a_note(make: Make) -> None:
    kept = make()
    assert maintain(kept).notes == [f"{TABLE}: there is no such table yet: schema deploy makes it"]


def test_creation_within_another_command_s_lock(make: Make) -> None:
    kept = make()
    kept.partitioned(CURRENT)
    with run.writing(kept.project, engine(kept.url), None) as (_, held):
        made = create_ahead(kept.project, held, kept.declared, NOW)
    assert [own.low for own in made] == [at("2026-11-30"), at("2026-12-07"), at("2026-12-14")]
    assert {outcome for outcome, _ in kept.ledger()} == {"created"}


def test_another_schema_an_identity_and_policies(make: Make) -> None:
    kept = make()
    execute(
        kept.url,
        'CREATE SCHEMA "Odd 100%"',
        f'ALTER DATABASE {kept.url.rpartition("/")[2]} SET search_path = "Odd 100%"',
    )
    kept.partitioned(OLD, CURRENT)
    execute(
        kept.url,
        f"ALTER TABLE {ADDRESS} ALTER id DROP DEFAULT, ALTER id ADD GENERATED ALWAYS AS IDENTITY",
        'ALTER TABLE "events_2026-08-10" ENABLE ROW LEVEL SECURITY',
        'CREATE TABLE public."events_first" (id int)',
        "COMMENT ON TABLE public.events_first IS "
        f"'schema partitions: {TABLE} from MINVALUE to {at(OLD)} UTC, retiring'",
    )
    kept.fill("2026-08-09 12:00", "2026-11-29 00:00")
    assert [step.action for step in maintain(kept).steps] == ["create"] * 3 + ["drop"]
    kept.fill("2026-12-01 00:00")
    assert kept.count() == 2
    assert {own.address.partition(".")[0] for own in kept.attached()} == {'"Odd 100%"'}
    secured = f"SELECT relrowsecurity FROM pg_class WHERE relname = '{TABLE}_p20261130'"
    assert query(kept.url, secured) == [(True,)]
    assert query(kept.url, "SELECT count(*) FROM public.events_first") == [(0,)]


def test_an_interrupted_detachment_of_another_s_partition_is_named(make: Make) -> None:
    kept = make()
    kept.partitioned(OLD, CURRENT)
    kept.fill("2026-08-09 12:00", "2026-11-29 00:00")
    execute(kept.url, "COMMENT ON TABLE events_first IS NULL")
    with psycopg.connect(kept.url.replace("+psycopg", "")) as reader:
        reader.execute(f"SELECT 1 FROM {ADDRESS}")
        with psycopg.connect(kept.url.replace("+psycopg", ""), autocommit=True) as person:
            person.execute("SET lock_timeout = '100ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                person.execute(f"ALTER TABLE {ADDRESS} DETACH PARTITION events_first CONCURRENTLY")
    [line] = [note for note in maintain(kept).notes if "FINALIZE" in note]
    execute(kept.url, line.partition(": ")[2])
    assert maintain(kept).notes == []


@pytest.mark.parametrize("zoned", [False, True])
def test_infinite_bounds_are_bounds_without_end(make: Make, zoned: bool) -> None:
    kept = make(zoned=zoned)
    kept.partitioned()
    zone = "+00" if zoned else ""
    kept.attach(OLD, "2026-12-10 00:00")
    execute(
        kept.url,
        f"CREATE TABLE first PARTITION OF {ADDRESS} FOR VALUES FROM ('-infinity') TO ('{OLD}{zone}')",
        f"CREATE TABLE rest PARTITION OF {ADDRESS} FOR VALUES FROM ('2026-12-10{zone}') TO ('infinity')",
    )
    kept.fill("2026-08-09 12:00", "2026-11-29 00:00", "2027-11-29 00:00")
    assert maintain(kept).steps == []
    commands.adopt_partitions(kept.project, TABLE, engine(kept.url), apply=True)
    assert steps(maintain(kept)) == ["drop first"]
    assert kept.bounds()[-1] == (at("2026-12-10"), None)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_session_that_may_change_nothing_is_told_so_before(make: Make, *, read_only: bool) -> None:
    kept = make()
    kept.partitioned(OLD, CURRENT)
    kept.fill("2026-08-09 12:00", "2026-11-29 00:00")
    name = kept.url.rpartition("/")[2]
    owner, reader = (f"{name}_{kind}" for kind in ("owner", "reader"))
    execute(
        kept.url,
        *(f"CREATE ROLE {role} LOGIN" for role in (owner, reader)),
        f"ALTER TABLE {ADDRESS} OWNER TO {owner}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {reader}",
    )
    try:
        if read_only:
            execute(kept.url, f"ALTER ROLE {owner} SET default_transaction_read_only = on")
        kept.url = kept.url.replace("postgres@", f"{owner if read_only else reader}@")
        says = {
            True: f"{TABLE} can't be changed in a read-only session: run it on the primary, as {owner}",
            False: f"{TABLE} is owned by {owner}, and only its owner may change its partitions: run it as that",
        }[read_only]
        planned = commands.maintain(kept.project, engine(kept.url), now=NOW, dry_run=True)
        assert says in planned.notes
        assert len(planned.steps) == 4
        assert failure(kept) == says
        assert kept.count() == 2
    finally:
        kept.url = kept.url.replace(f"{owner if read_only else reader}@", "postgres@")
        execute(
            kept.url,
            *(f"{word} OWNED BY {owner}, {reader}{end}" for word, end in (("REASSIGN", " TO postgres"), ("DROP", ""))),
            f"DROP ROLE {owner}, {reader}",
        )


@pytest.mark.parametrize("what", ["left", "retired"])
def test_rows_that_policies_hide_from_the_owner_are_no_reason_to_drop(make: Make, what: str) -> None:
    kept = make()
    kept.partitioned(OLD, CURRENT, "2026-12-07 00:00")
    kept.fill("2026-08-09 12:00", "2026-11-30 00:00")
    execute(
        kept.url,
        "CREATE TABLE written (id int)",
        "INSERT INTO written VALUES (1)",
        *_marked("written", "2026-11-30 00:00:00", "2026-12-07 00:00:00", "making" if what == "left" else "kept"),
    )
    owner, everything = f"{kept.url.rpartition('/')[2]}_owner", ["written", "keys", ADDRESS]
    tables = [*everything, *(own.address for own in kept.attached())]
    execute(
        kept.url,
        f"CREATE ROLE {owner} LOGIN",
        f"GRANT ALL ON SCHEMA public TO {owner}",
        *(f"ALTER TABLE {table} OWNER TO {owner}" for table in tables),
        *(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY" for table in tables),
    )
    kept.url = kept.url.replace("postgres@", f"{owner}@")
    try:
        assert "query would be affected by row-level security policy" in failure(kept)
    finally:
        kept.url = kept.url.replace(f"{owner}@", "postgres@")
        execute(kept.url, f"REASSIGN OWNED BY {owner} TO postgres", f"DROP OWNED BY {owner}", f"DROP ROLE {owner}")
    assert kept.count() == 2
    assert query(kept.url, "SELECT count(*) FROM written") == [(1,)]


@pytest.mark.parametrize("statement", ["UPDATE keys SET used = 1 WHERE used = 17", "LOCK TABLE keys"])
def test_a_lock_that_stays_is_told_with_the_session_that_has_it(make: Make, statement: str) -> None:
    kept = make(limits=Limits(lock=20, table_lock=2, statement=20, retry=0.1))
    kept.partitioned(OLD, CURRENT)
    url = kept.url.replace("+psycopg", "")
    with psycopg.connect(url) as younger, psycopg.connect(url, application_name="the report") as older:
        older.execute(statement)
        younger.execute("SELECT 1 FROM pg_class")
        said = failure(kept)
    assert said.startswith(f"Making {TABLE}_p20261130: The database refuses: LockNotAvailable 55P03: ")
    assert re.search(r"\. The oldest transaction that uses a table: the report \(pid \d+, idle in transaction, ", said)
    assert said.endswith("). The next run goes on")
    assert "17" not in said.partition(":")[2].partition("transaction:")[2]
    assert len(steps(maintain(kept))) == 4


def test_what_is_not_declared_any_more_is_told_if_it_runs_out(make: Make) -> None:
    kept = make()
    kept.partitioned(OLD, CURRENT)
    execute(
        kept.url,
        "CREATE TABLE former (at timestamp) PARTITION BY RANGE (at)",
        "CREATE TABLE former_1 PARTITION OF former FOR VALUES FROM (MINVALUE) TO ('2026-12-07')",
        "COMMENT ON TABLE former_1 IS 'schema partitions: former from MINVALUE to 2026-12-07 00:00:00 UTC, kept'",
    )
    [note] = maintain(kept).notes
    assert note.startswith("former: no partition is made any more, since its model doesn't declare Partitioned(...).")


def test_a_partition_in_another_schema_is_left_alone(make: Make) -> None:
    kept = make()
    kept.partitioned(OLD, RECENT, CURRENT, "2026-12-07 00:00", "2026-12-14 00:00", "2026-12-21 00:00")
    kept.fill("2026-08-09 12:00", "2026-08-10 00:00", "2026-11-29 00:00")
    execute(kept.url, "CREATE SCHEMA elsewhere", "ALTER TABLE events_first SET SCHEMA elsewhere")
    execute(kept.url, 'COMMENT ON TABLE "events_2026-08-10" IS NULL')
    done = maintain(kept)
    assert steps(done) == []
    assert done.notes[0] == f"events_first is in another schema than {TABLE}: left alone, whatever the age"
    assert kept.count() == 3
    execute(kept.url, "ALTER TABLE elsewhere.events_first SET SCHEMA public")
    assert steps(maintain(kept)) == ["drop events_first"]


@pytest.mark.parametrize("has_default", [False, True])
def test_rows_that_others_refer_to_keep_their_partition_and_no_other_one(make: Make, has_default: bool) -> None:
    kept = make()
    kept.partitioned(OLD, RECENT, "2026-08-24 00:00", CURRENT)
    kept.fill("2026-08-09 12:00", "2026-08-10 00:00", "2026-08-17 00:00", "2026-11-29 00:00")
    execute(
        kept.url,
        f'CREATE TABLE notes (id bigint, at timestamp, FOREIGN KEY (id, at) REFERENCES {ADDRESS} (id, "{BY}"))',
        f'INSERT INTO notes SELECT id, "{BY}" FROM {ADDRESS} ORDER BY id LIMIT 1',
        *([f"CREATE TABLE others PARTITION OF {ADDRESS} DEFAULT"] if has_default else []),
    )
    said = failure(kept)
    assert said.startswith("events_first can't be detached, and is in use as before. The database refuses: ")
    assert "notes" in said
    assert "2026-08-09" not in said
    assert kept.bounds()[0] == (None, at(OLD))
    assert [own.name for own in kept.alone()] == []
    assert kept.count() == 2
    execute(kept.url, "DROP TABLE notes")
    assert steps(maintain(kept)) == ["drop events_first"]


@pytest.mark.parametrize("others", [0, 4])
def test_a_sequence_that_is_still_the_first_partition_s_is_given_away(make: Make, others: int) -> None:
    kept = make()
    kept.partitioned(OLD, CURRENT)
    kept.fill("2026-08-09 12:00", "2026-11-29 00:00")
    uses = [f"CREATE TABLE t{number} (id bigint DEFAULT nextval('s 1'))" for number in range(others)]
    execute(
        kept.url,
        'ALTER SEQUENCE "Events ""log""_id_seq" RENAME TO "s 1"',
        'ALTER SEQUENCE "s 1" OWNED BY events_first.id',
        *(use.replace("'s 1'", """'"s 1"'""") for use in uses),
    )
    said = failure(kept)
    assert said.count(" depends on ") == 3
    statement = said.partition("; the next run")[0].rpartition(". ALTER")[2]
    execute(kept.url, f"ALTER{statement}")
    assert steps(maintain(kept))[-1] == "drop events_first"
    kept.fill("2026-11-29 00:00")
    assert query(kept.url, f"SELECT max(id) FROM {ADDRESS}") == [(3,)]


def test_a_view_of_a_partition_is_in_the_way_of_that_one_alone(make: Make) -> None:
    kept = make()
    kept.partitioned(OLD, RECENT, CURRENT)
    kept.fill("2026-08-09 12:00", "2026-08-10 00:00", "2026-11-29 00:00")
    execute(kept.url, "CREATE VIEW of_first AS SELECT * FROM events_first", "CREATE VIEW of_it AS TABLE of_first")
    assert failure(kept) == (
        "events_first is detached and can't be dropped: view of_first depends on table events_first; view of_it "
        "depends on view of_first. Drop what depends on it; the next run goes on."
    )
    assert [own.name for own in kept.alone()] == ["events_first"]
    assert len(kept.attached()) == 4
    execute(kept.url, "DROP VIEW of_it", "DROP VIEW of_first")
    assert steps(maintain(kept)) == ["drop events_first"]
