"""`schema partitions adopt`: partitions that others have made."""

import json
from pathlib import Path

import pytest

from app.errors import SchemaError
from app.migrations import commands
from tests.support.database_access import engine, execute, query
from tests.support.kept_events import ADDRESS, NOW, TABLE, Kept


@pytest.fixture
def kept(postgres_url: str, tmp_path: Path) -> Kept:
    return Kept(postgres_url, tmp_path)


def by_others(kept: Kept) -> None:
    """Makes partitions of each kind without a mark."""
    kept.partitioned()
    kept.attach(None, "2026-08-10 00:00", mark=False)
    kept.attach("2026-08-10 00:00", "2026-11-30 00:00", mark=False)
    execute(
        kept.url,
        "COMMENT ON TABLE \"events_2026-08-10\" IS 'the summer'",
        f"CREATE TABLE nested PARTITION OF {ADDRESS} FOR VALUES FROM ('2027-01-01') TO ('2027-02-01') "
        "PARTITION BY HASH (id)",
        "CREATE SCHEMA other",
        f"CREATE TABLE other.moved PARTITION OF {ADDRESS} FOR VALUES FROM ('2027-02-01') TO ('2027-03-01')",
        f"CREATE TABLE endless PARTITION OF {ADDRESS} FOR VALUES FROM ('2027-03-01') TO ('infinity')",
        f"CREATE TABLE others PARTITION OF {ADDRESS} DEFAULT",
    )


def test_real_ranges_are_taken_over_and_the_rest_is_named(kept: Kept) -> None:
    by_others(kept)
    kept.fill("2026-08-09 12:00", "2026-11-29 12:00")
    planned = commands.adopt_partitions(kept.project, TABLE, engine(kept.url), now=NOW)
    assert [own.mark for own in kept.attached()] == [None] * 6
    done = commands.adopt_partitions(kept.project, TABLE, engine(kept.url), now=NOW, apply=True)
    assert [(own.name, own.expires, own.comment) for own in done.adopted] == [
        ("events_first", True, None),
        ("events_2026-08-10", False, "the summer"),
        ("endless", False, None),
    ]
    assert (planned.adopted, planned.left, planned.done, done.done) == (done.adopted, done.left, False, True)
    assert [line.partition(":")[0] for line in done.left] == ["nested", "moved", "others"]
    assert {own.name for own in kept.attached() if own.mark} == {"events_first", "events_2026-08-10", "endless"}
    assert [*kept.ledger()] == [
        ("adopted", "partition events_first"),
        ("adopted", "partition events_2026-08-10"),
        ("adopted", "partition endless"),
    ]
    assert json.loads(kept.ledger("evidence")[1][0])["comment"] == "the summer"
    assert commands.adopt_partitions(kept.project, TABLE, engine(kept.url), apply=True).adopted == []
    kept_up = commands.maintain(kept.project, engine(kept.url), now=NOW)
    assert [step.subject for step in kept_up.steps if step.action == "drop"] == ["events_first"]
    assert kept.count() == 1
    execute(kept.url, done.left[1].partition(": ")[2].partition(": ")[2])
    assert commands.adopt_partitions(kept.project, TABLE, engine(kept.url)).adopted[0].name == "moved"


def test_pg_partman_is_named_with_the_line_that_ends_it(kept: Kept) -> None:
    kept.partitioned()
    execute(
        kept.url,
        'CREATE SCHEMA "part man"',
        'CREATE TABLE "part man".part_config (parent_table text, premake int)',
        f"INSERT INTO \"part man\".part_config VALUES ('public.{ADDRESS}', 4), ('public.keys', 4)",
    )
    done = commands.adopt_partitions(kept.project, TABLE, engine(kept.url))
    [note] = done.notes
    execute(kept.url, note.partition(": ")[2])
    assert query(kept.url, 'SELECT parent_table FROM "part man".part_config') == [("public.keys",)]
    assert commands.adopt_partitions(kept.project, TABLE, engine(kept.url)).notes == []


def test_what_is_partitioned_otherwise_is_refused(kept: Kept) -> None:
    kept.partitioned()
    execute(kept.url, f"DROP TABLE {ADDRESS}", f"CREATE TABLE {ADDRESS} (id int) PARTITION BY RANGE (id)")
    with pytest.raises(SchemaError, match=r"is partitioned by RANGE \(id\), and the models declare RANGE"):
        commands.adopt_partitions(kept.project, TABLE, engine(kept.url), apply=True)
    execute(kept.url, f"DROP TABLE {ADDRESS}", f"CREATE TABLE {ADDRESS} (id int)")
    with pytest.raises(SchemaError, match=r"isn't partitioned\. To convert it: schema partitions enable"):
        commands.adopt_partitions(kept.project, TABLE, engine(kept.url))
    with pytest.raises(SchemaError, match="keys isn't declared"):
        commands.adopt_partitions(kept.project, "keys", engine(kept.url))
