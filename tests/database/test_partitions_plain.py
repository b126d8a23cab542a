"""Retention of tables that aren't partitioned: old rows go page by page, with the rows that belong to them."""

import datetime as dt
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

from app import db
from app.backfill import Pace
from app.errors import SchemaError
from app.migrations import Project, commands, run
from app.migrations.partitions import Maintenance
from app.migrations.partitions.upkeep import deletion, plain
from app.migrations.project import Limits
from app.partitions import Partitioned
from tests.support.database_access import autocommit, connected, engine, execute, query
from tests.support.kept_events import ADDRESS, BY, NOW, TABLE, Kept, at, metadata
from tests.support.ledger_rows import attempts

pytestmark = pytest.mark.in_turn


@pytest.fixture
def kept(url: str, tmp_path: Path) -> Kept:
    made = Kept(url, tmp_path)
    made.plain()
    return made


def maintain(kept: Kept, now: dt.datetime | None = NOW, **options: Any) -> Maintenance:
    return commands.maintain(kept.project, engine(kept.url), now=now, **options)


def fill(kept: Kept, number: int, days: int) -> None:
    """Writes events, one each minute, the last one this many days before NOW."""
    last = NOW - dt.timedelta(days=days)
    rows = [{"at": last - dt.timedelta(minutes=minute)} for minute in range(number)]
    table = kept.project.metadata().tables['Events "log"']
    with connected(kept.url) as connection:
        connection.execute(sa.insert(table), [{BY: row["at"], "key": 1, "text": "x"} for row in rows])


def test_old_rows_go_and_are_recorded(kept: Kept) -> None:
    fill(kept, 700, 91)
    fill(kept, 20, 89)
    planned = maintain(kept, dry_run=True)
    assert (kept.count(), attempts(kept.url)) == (720, [])
    done = maintain(kept)
    assert [(step.action, step.rows, step.high) for step in done.steps] == [("delete", 700, at("2026-09-01 12:00"))]
    assert [(step.action, step.rows, step.high) for step in planned.steps] == [("delete", 700, at("2026-09-01 12:00"))]
    assert kept.count() == 20
    [(outcome, subject, evidence)] = kept.ledger("outcome, subject, evidence")
    assert (outcome, subject) == ("deleted", 'table Events "log"')
    assert json.loads(evidence)["rows"] == 700
    assert maintain(kept).steps == []
    assert len(attempts(kept.url)) == 1


def test_the_bound_is_exact(kept: Kept) -> None:
    kept.fill("2026-09-01 11:59:59", "2026-09-01 12:00:00")
    kept.fill("2026-11-30 00:00:00")
    maintain(kept)
    assert query(kept.url, f"SELECT id FROM {ADDRESS} ORDER BY id") == [(2,), (3,)]


def test_rows_that_go_with_them_are_counted(kept: Kept) -> None:
    execute(
        kept.url,
        f"CREATE TABLE notes (id integer PRIMARY KEY, event bigint REFERENCES {ADDRESS} (id) ON DELETE CASCADE)",
        "CREATE TABLE words (id integer PRIMARY KEY, note integer REFERENCES notes ON DELETE CASCADE)",
        f"CREATE TABLE looser (event bigint REFERENCES {ADDRESS} (id) ON DELETE SET NULL)",
        "CREATE INDEX of_note ON words (note)",
    )
    kept.fill(*["2026-08-01 00:00:00"] * 2, "2026-11-30 00:00:00")
    execute(
        kept.url,
        "INSERT INTO notes (id, event) VALUES (1, 1), (2, 1), (3, 2), (4, 3)",
        "INSERT INTO words (id, note) VALUES (1, 1), (2, 1), (3, 4)",
        "INSERT INTO looser VALUES (1), (3)",
    )
    done = maintain(kept)
    [step] = done.steps
    assert (step.rows, step.children) == (2, {"notes": 3, "words": 2})
    assert done.notes == ['no index of notes begins with event: each row of Events "log" that goes reads all of it']
    assert query(kept.url, "SELECT id FROM notes") == [(4,)]
    assert query(kept.url, "SELECT id FROM words") == [(3,)]
    assert query(kept.url, "SELECT event FROM looser ORDER BY event IS NULL") == [(3,), (None,)]
    assert json.loads(kept.ledger("evidence")[0][0])["children"] == {"notes": 3, "words": 2}


@pytest.mark.parametrize("young", [False, True])
def test_younger_rows_of_the_table_do_not_go_with_older_ones(url: str, tmp_path: Path, *, young: bool) -> None:
    kept = Kept(url, tmp_path)
    execute(
        url,
        f'CREATE TABLE {ADDRESS} (id integer PRIMARY KEY, "{BY}" timestamp NOT NULL, '
        f"above integer REFERENCES {ADDRESS} (id) ON DELETE CASCADE)",
        f"INSERT INTO {ADDRESS} VALUES (1, '2026-07-01 00:00:00', NULL), (2, '2026-08-01 00:00:00', 1)",
        f"INSERT INTO {ADDRESS} VALUES (3, '2026-11-30 00:00:00', {'2' if young else 'NULL'})",
    )
    done = maintain(kept)
    if not young:
        assert (done.failures, kept.count()) == ([], 1)
        return
    [failed] = done.failures
    assert failed.message.startswith(f"Nothing was deleted: younger rows of {TABLE} refer to older ones, by above, and")
    assert kept.count() == 3


class WithNotes(Kept):
    """The events, with notes that are declared, too."""

    notes: str | None = None

    @property
    def project(self) -> Project:
        tables = metadata(keep=self.keep)
        event = sa.Column[int]("event", sa.ForeignKey(f"{TABLE}.id", ondelete="CASCADE"), index=True)
        made = sa.Column("made", sa.DateTime, nullable=False)
        key = sa.Column("id", sa.Integer, primary_key=True)
        sa.Table("notes", tables, key, event, made, Partitioned(by="made", keep=self.notes))
        return replace(super().project, base=lambda: type("Base", (DeclarativeBase,), {"metadata": tables}))


@pytest.mark.parametrize(("keep", "goes"), [(None, False), ("91 days", False), ("90 days", True), ("1 week", True)])
def test_rows_that_are_kept_for_longer_do_not_go_with_others(
    url: str, tmp_path: Path, keep: str | None, *, goes: bool
) -> None:
    kept = WithNotes(url, tmp_path)
    kept.notes = keep
    kept.plain()
    kept.fill("2026-08-01 00:00", "2026-11-30 00:00")
    assert len(maintain(kept, dry_run=True).failures) == 0
    execute(url, "INSERT INTO notes (id, event, made) VALUES (1, 1, '2026-08-01 00:00:00')")
    execute(url, "INSERT INTO notes (id, event, made) VALUES (2, 2, '2026-11-30 00:00:00')")
    done = maintain(kept)
    if goes:
        assert done.failures == []
        assert kept.count() == 1
        return
    assert [failed.table for failed in done.failures] == [TABLE]
    assert done.failures[0].message == (
        f"Nothing was deleted: rows of notes are kept {f'for {keep}' if keep else 'for ever'}, and would go with those "
        f"of {TABLE} (ON DELETE CASCADE), which are kept for 90 days. Keep {TABLE} as long, or notes for 90 days at "
        "most"
    )
    assert kept.count() == 2


def test_a_row_that_others_refer_to_ends_it_with_one_line(kept: Kept) -> None:
    execute(kept.url, f"CREATE TABLE strict (event bigint REFERENCES {ADDRESS} (id))")
    kept.fill("2026-08-01 00:00:00", "2026-11-30 00:00:00")
    execute(kept.url, "INSERT INTO strict VALUES (1)")
    done = maintain(kept)
    [failed] = done.failures
    assert "\n" not in failed.message
    assert "foreign key" in failed.message.lower()
    assert (kept.count(), done.exit_code) == (2, 1)


def test_nothing_goes_if_everything_would(kept: Kept) -> None:
    fill(kept, 5, 91)
    done = maintain(kept)
    assert [failed.message.partition(",")[0] for failed in done.failures] == [
        'Nothing was deleted: no row of Events "log" is younger than 90 days'
    ]
    assert kept.count() == 5
    assert [step.rows for step in maintain(kept, accept_empty=True).steps] == [5]
    assert maintain(kept, at("2020-01-01")).steps == []


def test_without_an_index_a_large_table_is_refused(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(kept, 5, 91)
    fill(kept, 5, 1)
    [name] = [str(index["name"]) for index in sa.inspect(engine(kept.url)).get_indexes('Events "log"')]
    execute(kept.url, 'DROP INDEX "{}"'.format(name.replace('"', '""')))
    with monkeypatch.context() as patched:
        patched.setattr(plain, "_MOST_WITHOUT_INDEX", 9)
        [failed] = maintain(kept).failures
    assert f'no index of Events "log" begins with {BY}: each page of rows reads all 10 of them, 0.1 s' in failed.message
    done = maintain(kept)
    assert (len(done.steps), len(done.notes), kept.count()) == (1, 1, 5)


def test_an_archive_of_a_plain_table_is_refused(kept: Kept, tmp_path: Path) -> None:
    kept.fill("2026-08-01 00:00:00", "2026-11-30 00:00:00")
    [failed] = maintain(kept, archive=tmp_path).failures
    assert failed.message.startswith(
        'Nothing was deleted: --archive writes whole partitions, and Events "log" has none'
    )
    assert kept.count() == 2


def test_for_ever_deletes_nothing(kept: Kept) -> None:
    kept.keep = None
    kept.fill("1999-08-01 00:00:00")
    assert (maintain(kept).steps, kept.count()) == ([], 1)


def test_an_interrupted_run_records_what_it_did(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(kept, 300, 91)
    fill(kept, 5, 1)
    pages = []

    def rest(*_: object) -> None:
        pages.append(1)
        if len(pages) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Pace, "rest", rest)
        patched.setattr(Pace, "wrote", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            maintain(kept)
    assert kept.count() == 105
    [(reason, evidence)] = kept.ledger("reason, evidence")
    assert reason.endswith("; interrupted")
    assert json.loads(evidence)["rows"] == 200
    assert [step.rows for step in maintain(kept).steps] == [100]


def test_what_another_session_has_locked_is_passed_over_or_waited_for(kept: Kept) -> None:
    fill(kept, 10, 91)
    fill(kept, 5, 1)
    with autocommit(kept.url) as other:
        if other.dialect.name == "sqlite":
            return
        other.exec_driver_sql("BEGIN")
        other.exec_driver_sql(f"UPDATE {ADDRESS} SET text = 'y' WHERE id = 4")
        assert [step.rows for step in maintain(kept).steps] == [9]
        other.exec_driver_sql("COMMIT")
    assert [step.rows for step in maintain(kept).steps] == [1]


def test_it_waits_for_a_migration_before_it_begins(kept: Kept) -> None:
    fill(kept, 10, 91)
    fill(kept, 5, 1)
    with run.writing(kept.project, engine(kept.url), 5):
        done = maintain(kept, lock_timeout=0.1)
        assert (done.exit_code, [failed.is_locked for failed in done.failures], kept.count()) == (6, [True], 15)
        assert [step.rows for step in maintain(kept, dry_run=True).steps] == [10]


@pytest.mark.parametrize("other", ["BEGIN IMMEDIATE", "BEGIN; SELECT * FROM keys"])
def test_a_file_in_a_long_transaction_is_told(
    sqlite_url: str, tmp_path: Path, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "BUSY_TIMEOUT_SECONDS", 0.1)
    kept = Kept(sqlite_url, tmp_path, limits=Limits(lock=0.2, table_lock=0.1, statement=1, retry=0.2))
    kept.plain()
    kept.fill("2026-08-01 00:00", "2026-11-30 00:00")
    with closing(sqlite3.connect(str(engine(sqlite_url).url.database), isolation_level=None)) as connection:
        for statement in other.split("; "):
            connection.execute(statement).fetchone()
        done = commands.maintain(kept.project, db.migration_engine(sqlite_url), now=NOW)
        connection.execute("ROLLBACK")
    [failed] = done.failures
    assert failed.message.endswith("Another process has it open in a long transaction. The next run goes on")
    assert kept.count() == 2
    assert maintain(kept).steps[0].rows == 1


def test_the_rows_behind_a_view_are_left_alone(kept: Kept) -> None:
    kept.fill("2026-08-01 00:00", "2026-11-30 00:00")
    execute(kept.url, f"ALTER TABLE {ADDRESS} RENAME TO former", f"CREATE VIEW {ADDRESS} AS SELECT * FROM former")
    done = maintain(kept)
    assert done.steps == []
    assert done.notes == [f"{TABLE} is a view or a foreign table, no table of this database: left alone"]
    assert kept.count() == 2


@pytest.mark.parametrize(
    ("text", "goes"),
    [
        ("2026-09-01 11:59:59.999999", True),
        ("2026-08-31T11:59:59Z", True),
        ("2026-08-31 23:00:00-08:00", True),
        ("2026-09-01 11:00:00-08:00", False),
        ("2026-09-01 11:59:59-00:01", False),
        ("2026-09-01 13:00:00+05:00", False),  # a day later
        ("2026-08-01 or so", False),
        ("2026-08-32 00:00:00", False),
    ],
)
def test_texts_of_other_forms_go_not_before_their_time(
    sqlite_url: str, tmp_path: Path, text: str, *, goes: bool
) -> None:
    kept = Kept(sqlite_url, tmp_path)
    kept.plain()
    kept.fill(text, "2026-11-30 00:00")
    assert [step.rows for step in maintain(kept).steps] == [1] * goes
    assert kept.count() == 2 - goes


@pytest.mark.parametrize("value", ["17", "'not a time'", "'01/02/2026'", "''"])
def test_what_is_no_time_on_sqlite_stays(sqlite_url: str, tmp_path: Path, value: str) -> None:
    kept = Kept(sqlite_url, tmp_path)
    kept.plain()
    kept.fill("2026-11-30 00:00:00")
    execute(sqlite_url, f'INSERT INTO {ADDRESS} ("{BY}") VALUES ({value})')
    maintain(kept)
    assert kept.count() == 2


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    kept = Kept(f"sqlite:///{tmp_path / 'none.db'}", tmp_path)
    (tmp_path / "alembic.ini").write_text("[alembic]\n", encoding="utf-8")
    done = commands.maintain(kept.project)
    assert done.notes == ['Events "log": there is no such table yet: schema deploy makes it']
    assert [file.name for file in tmp_path.iterdir()] == ["alembic.ini"]
    with pytest.raises(SchemaError, match="has no partitions to adopt: this database is SQLite"):
        commands.adopt_partitions(kept.project, 'Events "log"')


def test_a_page_does_not_read_what_is_gone(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(kept, 300, 91)
    fill(kept, 5, 1)
    seen: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(Pace, "wrote", lambda *_: None)
        patched.setattr(deletion.OldRows, "_left", _noted(deletion.OldRows._left, seen))
        assert [step.rows for step in maintain(kept).steps] == [300]
    # Three pages, an empty one after the last, and one from the beginning.
    assert [" >= " in condition for condition in seen] == [False, True, True, True, False]


def _noted(left: Callable[[Any], str], seen: list[str]) -> Callable[[Any], str]:
    def noted(rows: Any) -> str:
        seen.append(left(rows))
        return seen[-1]

    return noted
