"""`op.concurrently` on a partitioned table: each partition takes the form, and ends as the plain one leaves it."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from app.migrations import snapshots
from app.migrations.errors import MigrationError
from tests.database.test_concurrently import CASES, NOT_NULL, ROWS, block, new
from tests.support.alembic_in_process import History
from tests.support.database_access import connected, execute, query, run
from tests.support.databases import DATABASES, ONE_A_DAY, everyday
from tests.support.environment import forget_settings
from tests.support.project_copy import ProjectCopy
from tests.support.schema_dump import schema_of

__all__ = ["ROWS", "new"]

COLUMNS = """(
    id integer NOT NULL, "parent id" integer, a integer, "b%" varchar(20), CONSTRAINT children_pkey PRIMARY KEY (id)
)"""
PARTITIONS = [
    f"CREATE TABLE children {COLUMNS} PARTITION BY RANGE (id)",
    "CREATE TABLE children_1 PARTITION OF children FOR VALUES FROM (MINVALUE) TO (2)",
    "CREATE TABLE children_2 PARTITION OF children FOR VALUES FROM (2) TO (3) PARTITION BY HASH (id)",
    "CREATE TABLE children_2_0 PARTITION OF children_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
    "CREATE TABLE children_2_1 PARTITION OF children_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    'CREATE TABLE "children: 3%" PARTITION OF children FOR VALUES FROM (3) TO (10)',
]
TABLES = f"""
op.create_table("parents", sa.Column("id", sa.Integer), sa.PrimaryKeyConstraint("id", name="parents_pkey"))
op.execute_on("postgresql", *{PARTITIONS!r})
"""
DEFERRED = 'postgresql_nulls_not_distinct=True, deferrable=True, initially="DEFERRED"'
LONG = "i" * 60
PARENTS = CASES | {
    "a unique constraint": (
        'op.create_unique_constraint("children u%", "children", ["a", "id", "b%"])',
        'op.drop_constraint("children u%", "children", type_="unique")',
    ),
    "a unique constraint with options": (
        f'op.create_unique_constraint("u", "children", ["id", "a"], {DEFERRED})',
        'op.drop_constraint("u", "children", type_="unique")',
    ),
    "a foreign key with options": (
        'op.create_foreign_key("f%", "children", "parents", ["parent id"], ["id"], deferrable=True)',
        'op.drop_constraint("f%", "children", type_="foreignkey")',
    ),
    "a foreign key to it": (
        'op.create_foreign_key("g", "parents", "children", ["id"], ["id"])',
        'op.drop_constraint("g", "parents", type_="foreignkey")',
    ),
    "an index with a long name": (f'op.create_index("{LONG}", "children", ["a"])', f'op.drop_index("{LONG}")'),
    "an index in upper case": (
        'op.create_index("I", "children", [sa.text("lower(\\"b%\\")")])',
        'op.drop_index("I", table_name="children")',
    ),
}
on_postgresql = pytest.mark.parametrize("url", DATABASES[1:], indirect=True)
LEAF_FACTS = """
SELECT i.indrelid::regclass::text, regexp_replace(pg_get_indexdef(indexrelid), ' INDEX .* ON ', ' ON '), indisvalid,
    relispartition, EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('u', 'p'))
FROM pg_index i JOIN pg_class c ON oid = indexrelid WHERE relnamespace = 'public'::regnamespace AND NOT EXISTS (
    SELECT FROM pg_class WHERE oid = indrelid AND relname ~ '^(alembic_version|schema_ledger)')
UNION ALL
SELECT conrelid::regclass::text, CASE contype WHEN 'u' THEN '' ELSE conname END || pg_get_constraintdef(oid),
    convalidated, conparentid <> 0, conislocal
FROM pg_constraint WHERE conrelid::regclass::text ~ 'children'
ORDER BY 1, 2
"""


def facts_of(url: str) -> object:
    """Everything in a database but the names of what belongs to a partition's index."""
    with connected(url) as connection:
        return snapshots.take(connection), query(url, LEAF_FACTS)


def written(history: History, case: str, *, plain: bool = False) -> list[str]:
    up, down = PARENTS[case]
    base = history.add(TABLES + NOT_NULL * (case == "no longer not null"))
    return [base, history.add(up if plain else block(up), down if plain else block(down))]


@pytest.mark.parametrize(
    "case",
    everyday(
        PARENTS, ["an index as text", "a unique constraint with options", "a foreign key with options", "several"]
    ),
)
@pytest.mark.parametrize("new", DATABASES[1:], indirect=True)
def test_it_ends_where_the_plain_operation_does(case: str, new: Callable[[], str], tmp_path: Path) -> None:
    ends = []
    for plain in (False, True):
        url, folder = new(), tmp_path / f"history {plain}"
        folder.mkdir()
        history = History(folder)
        base, last = written(history, case, plain=plain)
        history.upgrade(url, base)
        execute(url, *ROWS)
        start = facts_of(url)
        history.upgrade(url, last)
        ends.append(facts_of(url))
        assert ends[-1] != start
        history.downgrade(url, base)
        assert facts_of(url) == start
        history.upgrade(url, last)
        ends.append(facts_of(url))
    assert ends == [ends[0]] * len(ends)


STEPS = [
    "CREATE INDEX i ON ONLY children (a)",
    "CREATE INDEX children_1_i ON children_1 (a)",
    "ALTER INDEX i ATTACH PARTITION children_1_i",
    "CREATE INDEX children_2_i ON ONLY children_2 (a)",
    "CREATE INDEX children_2_0_i ON children_2_0 (a)",
]
UNIQUE_STEPS = [
    "ALTER TABLE ONLY children ADD CONSTRAINT u UNIQUE (id, a)",
    "CREATE UNIQUE INDEX children_1_u ON children_1 (id, a)",
    "ALTER TABLE children_1 ADD CONSTRAINT children_1_u UNIQUE USING INDEX children_1_u",
    "ALTER INDEX u ATTACH PARTITION children_1_u",
    "CREATE UNIQUE INDEX children_2_0_u ON children_2_0 (id, a)",
    "ALTER TABLE children_2_0 ADD CONSTRAINT children_2_0_u UNIQUE USING INDEX children_2_0_u",
]
FOREIGN = 'ADD CONSTRAINT f FOREIGN KEY ("parent id") REFERENCES parents'
INDEX = 'op.create_index("i", "children", ["a"])'
UNIQUE = 'op.create_unique_constraint("u", "children", ["id", "a"])'
KEY = 'op.create_foreign_key("f", "children", "parents", ["parent id"], ["id"])'
UNPROVED = """
DO $$ BEGIN
    IF current_setting('server_version_num')::integer >= 180000 THEN
        EXECUTE 'ALTER TABLE children ADD NOT NULL a NOT VALID';
    ELSE
        ALTER TABLE children ADD CONSTRAINT a_is_not_null CHECK (a IS NOT NULL) NOT VALID;
    END IF;
END $$
"""
# What a killed run, or an operator, has left.
INTERRUPTED = {
    **{f"an index after step {n}": (INDEX, STEPS[:n]) for n in range(1, len(STEPS) + 1)},
    "an index of a partition that is gone": (INDEX, [*STEPS[:3], "DROP TABLE children_2", 'DROP TABLE "children: 3%"']),
    "a name that is taken": (INDEX, ["CREATE TABLE children_1_i (id integer)"]),
    "an index that was renamed": (INDEX, ["CREATE INDEX i ON children (id)", "ALTER INDEX i RENAME TO j"]),
    **{f"a unique constraint after step {n}": (UNIQUE, UNIQUE_STEPS[:n]) for n in range(1, len(UNIQUE_STEPS) + 1)},
    "a foreign key on one partition": (KEY, [f"ALTER TABLE children_1 {FOREIGN}"]),
    "a foreign key on one partition, not validated": (KEY, [f"ALTER TABLE children_2_0 {FOREIGN} NOT VALID"]),
    "not null, not validated": (NOT_NULL, [UNPROVED]),
}
LEFT_OVER = """
SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid
UNION ALL SELECT conname FROM pg_constraint WHERE NOT convalidated OR conname LIKE '%_is_not_null'
UNION ALL SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON oid = indexrelid
WHERE NOT relispartition AND indrelid::regclass::text ~ 'children.?_' AND indexrelid::regclass::text <> 'children_1_i'
"""


@pytest.mark.parametrize(
    "case",
    everyday(INTERRUPTED, ["an index after step 4", "a unique constraint after step 5", "not null, not validated"]),
)
@on_postgresql
def test_what_an_interrupted_run_has_left_is_completed(case: str, url: str, history: History) -> None:
    operation, steps = INTERRUPTED[case]
    history.add(TABLES)
    history.upgrade(url)
    execute(url, *ROWS, *steps)
    history.add(block(operation))
    history.upgrade(url)
    assert query(url, LEFT_OVER) == []


@on_postgresql
def test_an_invalid_index_of_a_partition_is_built_again(url: str, history: History) -> None:
    history.add(TABLES)
    history.upgrade(url)
    execute(url, *ROWS, "INSERT INTO children VALUES (0, 1, 1)")
    with pytest.raises(sa.exc.IntegrityError):
        run(url, "CREATE UNIQUE INDEX CONCURRENTLY children_1_i ON children_1 (a)")
    assert query(url, LEFT_OVER) == [("children_1_i",)]
    history.add(block(INDEX))
    history.upgrade(url)
    assert query(url, LEFT_OVER) == []


@on_postgresql
def test_an_index_of_an_earlier_form_of_the_revision_is_named(url: str, history: History) -> None:
    history.add(TABLES)
    history.upgrade(url)
    execute(url, "CREATE INDEX i ON ONLY children (id)")
    history.add(block(INDEX))
    with pytest.raises(MigrationError, match=r"The indexes i and children_1_i differ: .* DROP INDEX i, children_1_i"):
        history.upgrade(url)
    execute(url, "DROP INDEX i, children_1_i")
    history.upgrade(url)
    assert query(url, LEFT_OVER) == []


REFERENCE = 'sa.ForeignKeyConstraint(["child"], ["children.a"], name="notes_child_fkey")'
NOTES = f'op.create_table("notes", sa.Column("child", sa.Integer), {REFERENCE}, comment="Notes.")'
REFERS = 'op.create_foreign_key("later", "notes", "children", ["child"], ["a"])'


@on_postgresql
def test_a_foreign_key_that_can_not_refer_to_it_is_left_out(
    url: str, history: History, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.migrations")
    history.add(TABLES)
    history.add(f"{NOTES}\n{REFERS}", 'op.drop_table("notes")')
    history.add(block(REFERS), block('op.drop_constraint("later", "notes", type_="foreignkey")'))
    history.upgrade(url)
    assert query(url, "SELECT conname FROM pg_constraint WHERE conrelid = 'notes'::regclass") == []
    assert query(url, "SELECT obj_description('notes'::regclass)") == [("Notes.",)]
    said = [line for line in caplog.messages if "left out" in line]
    assert said == [
        f"{name} is left out: children is partitioned by RANGE (id), which no foreign key names"
        for name in ("notes_child_fkey", "later", "later")
    ]
    history.downgrade(url)


REFUSED = {
    "a unique constraint": (
        'op.create_unique_constraint("u", "children", ["a"])',
        r"children is partitioned by RANGE \(id\), .*: u would need id as well. .* op.create_unique_constraint",
    ),
    "a unique index": (
        'op.create_index("u", "children", ["a"], unique=True)',
        'op.create_index."u", "children", ."a", "id"., unique=True',
    ),
    "an index as text": ('op.execute_on("postgresql", "CREATE UNIQUE INDEX u ON children (a)")', "would need id"),
    "a key with an expression": (
        'op.create_unique_constraint("u", "odd", ["id"])',
        r"odd is partitioned by LIST \(abs\(id\)\), .* a key with an expression allows no unique u. Leave it out.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@on_postgresql
def test_what_needs_the_partition_key_is_refused_without_it(case: str, url: str, history: History) -> None:
    operation, message = REFUSED[case]
    history.add(f"{TABLES}op.execute_on('postgresql', 'CREATE TABLE odd (id integer) PARTITION BY LIST (abs(id))')")
    history.upgrade(url)
    start = schema_of(url)
    history.add(block(operation))
    with pytest.raises(MigrationError, match=message):
        history.upgrade(url)
    assert schema_of(url) == start


@on_postgresql
def test_an_index_that_can_not_become_valid_is_named(url: str, history: History) -> None:
    history.add(TABLES)
    history.upgrade(url)
    gone = [f"DROP TABLE {name}" for name in ("children_1", "children_2", '"children: 3%"')]
    execute(url, "CREATE INDEX i ON ONLY children (a)", *gone)
    history.add(block(INDEX))
    with pytest.raises(MigrationError, match=r"The index i of children isn't valid yet: .* DROP INDEX i"):
        history.upgrade(url)
    execute(url, "DROP INDEX i")
    history.upgrade(url)
    assert query(url, LEFT_OVER) == []


@contextmanager
def at_first(statement: str, do: Callable[[], None]) -> Iterator[None]:
    """Calls a function once, right before a statement with these words is sent."""
    left = [do]

    def hear(_connection: object, _cursor: object, text: str, *_: object) -> None:
        if statement in text and left:
            left.pop()()

    sa.event.listen(sa.Engine, "before_cursor_execute", hear)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", hear)
    assert not left, statement


def by_another(url: str, *statements: str) -> Callable[[], None]:
    """A function that runs statements in another session, of which SQLAlchemy doesn't know."""

    def do() -> None:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    return do


GONE = {
    "an index": (INDEX, "CONCURRENTLY IF NOT EXISTS children_1_i", "children_1"),
    "an index that would be attached": (INDEX, "ATTACH PARTITION children_1_i", "children_1"),
    "the last index that would be attached": (INDEX, 'ATTACH PARTITION "children: 3', '"children: 3%"'),
    "a partition with partitions": (INDEX, "ON ONLY children_2", "children_2"),
    "a partition of a partition": (INDEX, "ATTACH PARTITION children_2_0_i", "children_2_0"),
    "a unique constraint": (UNIQUE, "ADD CONSTRAINT children_1_u", "children_1"),
    "a foreign key": (KEY, "children_1 ADD CONSTRAINT f", "children_1"),
    "a foreign key to validate": (KEY, "children_2_0 VALIDATE CONSTRAINT f", "children_2_0"),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("change", ["DROP TABLE {0}", "ALTER TABLE {1} DETACH PARTITION {0}"])
@pytest.mark.parametrize("case", everyday(GONE, ["an index that would be attached", "a foreign key"]))
@on_postgresql
def test_a_partition_that_goes_meanwhile_is_passed_over(case: str, change: str, url: str, history: History) -> None:
    operation, statement, partition = GONE[case]
    history.add(TABLES)
    history.upgrade(url)
    history.add(block(operation))
    parent = "children_2" if partition == "children_2_0" else "children"
    with at_first(statement, by_another(url, change.format(partition, parent))):
        history.upgrade(url)
    assert query(url, f"SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass('{partition}')") == []
    execute(url, f"DROP TABLE IF EXISTS {partition}")
    assert query(url, LEFT_OVER) == []


@pytest.mark.exhaustive
@on_postgresql
def test_a_partition_that_comes_meanwhile_has_everything(url: str, history: History) -> None:
    history.add(TABLES)
    history.upgrade(url)
    history.add(block(INDEX, UNIQUE, KEY))
    moments = ["EXISTS children_1_i", "ADD CONSTRAINT children_1_u", "children_2_0 ADD CONSTRAINT f", "nothing"]
    creations = {
        moment: f"CREATE TABLE new_{n} PARTITION OF children FOR VALUES FROM ({n}0) TO ({n}9)"
        for n, moment in enumerate(moments, 1)
    }
    last = creations.pop("nothing")
    with ExitStack() as exits:
        for moment, creation in creations.items():
            exits.enter_context(at_first(moment, by_another(url, creation)))
        history.upgrade(url)
    execute(url, last)
    assert query(url, LEFT_OVER) == []
    found = query(
        url,
        "SELECT relname, (SELECT count(*) FROM pg_index WHERE indrelid = pg_class.oid AND indisvalid), "
        "(SELECT count(*) FROM pg_constraint WHERE conrelid = pg_class.oid AND convalidated AND contype <> 'n') "
        "FROM pg_class WHERE relname LIKE 'new__' ORDER BY 1",
    )
    assert found == [(f"new_{n}", 3, 3) for n in range(1, 5)]


@pytest.mark.exhaustive
@pytest.mark.parametrize("url", ONE_A_DAY[:1], indirect=True)
def test_a_busy_partition_is_waited_for_and_tried_again(
    url: str, history: History, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SCHEMA_TABLE_LOCK_TIMEOUT", "0.2")
    history.add(TABLES)
    history.upgrade(url)
    execute(url, *ROWS)
    history.add(block(INDEX))
    forget_settings()
    caplog.set_level("INFO")
    reader = psycopg.connect(url.replace("+psycopg", ""))

    def read() -> None:
        reader.execute("SELECT FROM children_1")
        threading.Timer(0.5, reader.rollback).start()

    with reader, at_first("ATTACH PARTITION children_1_i", read):
        history.upgrade(url)
    assert query(url, LEFT_OVER) == []
    assert "trying again" in caplog.text


OWN = {
    "outside": ('op.create_index("i", "children", ["a"], postgresql_concurrently=True)', "{}"),
    "inside": (
        'op.create_index("i", "children", ["a"], postgresql_concurrently=True)',
        "with op.get_context().autocommit_block():\n    {}",
    ),
}


@pytest.mark.parametrize("case", OWN)
@on_postgresql
def test_an_index_that_is_built_concurrently_takes_the_form_by_itself(case: str, url: str, history: History) -> None:
    creation, frame = OWN[case]
    base = history.add(TABLES)
    drop = 'op.drop_index("i", "children", postgresql_concurrently=True)'
    history.add(frame.format(creation), frame.format(drop))
    history.upgrade(url, base)
    start = facts_of(url)
    history.upgrade(url)
    assert facts_of(url) != start
    history.downgrade(url, base)
    assert facts_of(url) == start


@pytest.mark.exhaustive
@pytest.mark.parametrize("url", ONE_A_DAY[:1], indirect=True)
def test_plain_operations_stay_in_the_transaction(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    project = ProjectCopy(folder, revisions=False)
    project.add(TABLES)
    project.upgrade(url)
    start = schema_of(url)
    project.add(f"{OWN['outside'][0]}\n{block(UNIQUE, KEY, NOT_NULL, 'raise RuntimeError')}")
    done = project.alembic("-x", "plain=yes", "upgrade", "head", url=url)
    assert "RuntimeError" in done.stderr
    assert schema_of(url) == start


@pytest.mark.exhaustive
@pytest.mark.parametrize("url", ONE_A_DAY[:1], indirect=True)
def test_a_table_of_another_schema_takes_the_forms_too(url: str, history: History) -> None:
    execute(
        url,
        "CREATE SCHEMA other",
        "CREATE TABLE other.parts (id integer PRIMARY KEY, a integer) PARTITION BY LIST (id)",
        'CREATE TABLE other."One.two" PARTITION OF other.parts FOR VALUES IN (1)',
    )
    index = 'op.create_index("I", "parts", ["a"], schema="other")'
    unique = 'op.create_unique_constraint("u", "parts", ["id", "a"], schema="other")'
    key = 'op.create_foreign_key("f", "parts", "parts", ["a"], ["id"], source_schema="other", referent_schema="other")'
    history.add(
        block(index, unique, key, index.replace('"I"', '"j"')),
        block(
            'op.drop_constraint("f", "parts", schema="other", type_="foreignkey")',
            'op.drop_constraint("u", "parts", schema="other", type_="unique")',
            'op.drop_index("I", "parts", schema="other")',
            'op.drop_index("j", schema="other")',
        ),
    )
    found = "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = 'other.\"One.two\"'::regclass"
    before = query(url, found)
    history.upgrade(url)
    names = [f'other."One.two_{name}"' for name in ("I", "j", "u")]
    assert sorted(query(url, found)) == sorted([*before, *((name, True) for name in names)])
    history.downgrade(url)
    assert query(url, found) == before
