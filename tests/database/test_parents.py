"""`op.concurrently` on a partitioned table: each partition is worked on by itself, and ends as the plain form leaves it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.migrations import snapshots
from app.migrations.errors import MigrationError
from tests.database.test_concurrently import CASES, NOT_NULL, NULLABLE, block, new
from tests.support.alembic_in_process import History
from tests.support.database_access import connected, execute, query
from tests.support.databases import DATABASES
from tests.support.schema_dump import schema_of

__all__ = ["new"]  # a fixture

COLUMNS = """(
    id integer NOT NULL, "parent id" integer, a integer, "b%" varchar(20), CONSTRAINT children_pkey PRIMARY KEY (id)
)"""
PARTITIONS = [
    f"CREATE TABLE children {COLUMNS} PARTITION BY RANGE (id)",
    "CREATE TABLE children_1 PARTITION OF children FOR VALUES FROM (MINVALUE) TO (2)",
    "CREATE TABLE children_2 PARTITION OF children FOR VALUES FROM (2) TO (3) PARTITION BY HASH (id)",
    "CREATE TABLE children_2_0 PARTITION OF children_2 FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    'CREATE TABLE "children: 3%" PARTITION OF children FOR VALUES FROM (3) TO (10)',
]
TABLES = f"""
op.create_table("parents", sa.Column("id", sa.Integer), sa.PrimaryKeyConstraint("id", name="parents_pkey"))
op.execute_on("postgresql", *{PARTITIONS!r})
op.execute_on("sqlite", {f"CREATE TABLE children {COLUMNS}"!r})
"""
ROWS = (
    "INSERT INTO parents VALUES (1)",
    "INSERT INTO children SELECT n, 1, n, 'x' || n FROM (SELECT 1 AS n UNION SELECT 2 UNION SELECT 3) AS three",
)
LONG = "i" * 60
PARENTS = CASES | {
    "a unique constraint": (
        'op.create_unique_constraint("children u%", "children", ["a", "id", "b%"])',
        'op.drop_constraint("children u%", "children", type_="unique")',
    ),
    "a unique constraint with options": (
        'op.create_unique_constraint("u", "children", ["id", "a"], postgresql_nulls_not_distinct=True, '
        'deferrable=True, initially="DEFERRED")',
        'op.drop_constraint("u", "children", type_="unique")',
    ),
    "a foreign key with options": (
        'op.create_foreign_key("f%", "children", "parents", ["parent id"], ["id"], deferrable=True)',
        'op.drop_constraint("f%", "children", type_="foreignkey")',
    ),
    "an index with a long name": (f'op.create_index("{LONG}", "children", ["a"])', f'op.drop_index("{LONG}")'),
    "an index in upper case": (
        'op.create_index("I", "children", [sa.text("lower(\\"b%\\")")])',
        'op.drop_index("I", table_name="children")',
    ),
}
each_case = pytest.mark.parametrize("case", PARENTS)
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
    if "sqlite" in url:
        return schema_of(url)
    with connected(url) as connection:
        return snapshots.take(connection), query(url, LEAF_FACTS)


def written(history: History, case: str, *, plain: bool = False) -> list[str]:
    up, down = PARENTS[case]
    base = history.add(TABLES + NOT_NULL * (case == "no longer not null"))
    return [base, history.add(up if plain else block(up), down if plain else block(down))]


@each_case
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
# What a killed run, or an operator, has left.
INTERRUPTED = {
    **{f"an index after step {n}": (INDEX, STEPS[:n]) for n in range(1, len(STEPS) + 1)},
    "an index of a partition that is gone": (INDEX, [*STEPS[:3], "DROP TABLE children_2", 'DROP TABLE "children: 3%"']),
    "a name that is taken": (INDEX, ["CREATE TABLE children_1_i (id integer)"]),
    "an index that was renamed": (INDEX, ["CREATE INDEX i ON children (id)", "ALTER INDEX i RENAME TO j"]),
    **{f"a unique constraint after step {n}": (UNIQUE, UNIQUE_STEPS[:n]) for n in range(1, len(UNIQUE_STEPS) + 1)},
    "a foreign key on one partition": (KEY, [f"ALTER TABLE children_1 {FOREIGN}"]),
    "a foreign key on one partition, not validated": (KEY, [f"ALTER TABLE children_2_0 {FOREIGN} NOT VALID"]),
    "a proof of NOT NULL": (NOT_NULL, ["ALTER TABLE children ADD CONSTRAINT a_is_not_null CHECK (a IS NOT NULL)"]),
}
LEFT_OVER = """
SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid
UNION ALL SELECT conname FROM pg_constraint WHERE NOT convalidated OR conname LIKE '%_is_not_null'
UNION ALL SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON oid = indexrelid
WHERE NOT relispartition AND indrelid::regclass::text ~ 'children.?_' AND indexrelid::regclass::text <> 'children_1_i'
"""


@pytest.mark.parametrize("case", INTERRUPTED)
@on_postgresql
def test_what_an_interrupted_run_has_left_is_completed(case: str, url: str, history: History) -> None:
    operation, steps = INTERRUPTED[case]
    base = history.add(TABLES)
    history.upgrade(url)
    execute(url, *ROWS)
    execute(url, *steps)
    history.add(block(operation))
    history.upgrade(url)
    assert query(url, LEFT_OVER) == []
    assert base


@on_postgresql
def test_an_invalid_index_of_a_partition_is_built_again(url: str, history: History) -> None:
    history.add(TABLES)
    history.upgrade(url)
    execute(url, *ROWS, "INSERT INTO children VALUES (5, 1, 2, 'x3'), (4, 1, 3, 'x')")
    history.add(block('op.create_index("i", "children", ["id", "a"], unique=True, postgresql_where=sa.text("id > 3"))'))
