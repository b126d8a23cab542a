"""Backfills of partitioned tables: leaf by leaf, in either order, past leaves that go meanwhile."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from app.backfill import MARKER, Pace, Table, backfill, fill
from app.backfill.leaves import leaves
from app.sql_text import quoted
from tests.support.alembic_in_process import History
from tests.support.database_access import autocommit, query
from tests.support.gateway_database import NEW, Gateway

TABLE = 'Logs: "50%"'
QUOTED = '"Logs: ""50%"""'
OLDEST_FIRST = ["logs_default", "logs_old", "logs_1", 'logs "2%', "logs_3_a", "logs_3_b"]
MADE = f"""
CREATE TABLE {QUOTED} (id integer, at timestamp, a text, b text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE logs_default PARTITION OF {QUOTED} DEFAULT;
CREATE TABLE "logs ""2%" PARTITION OF {QUOTED} FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE logs_3 PARTITION OF {QUOTED} FOR VALUES FROM ('2026-03-01') TO (MAXVALUE) PARTITION BY LIST (id);
CREATE TABLE logs_3_b PARTITION OF logs_3 FOR VALUES IN (7, 8);
CREATE TABLE logs_3_a PARTITION OF logs_3 FOR VALUES IN (5, 6);
CREATE TABLE logs_old PARTITION OF {QUOTED} FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE logs_1 PARTITION OF {QUOTED} FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
INSERT INTO {QUOTED} SELECT n, '2025-12-15'::timestamp + make_interval(months => n / 2), 'a' || n, NULL
FROM generate_series(0, 8) n
"""


@pytest.fixture
def connection(postgres_url: str) -> Iterator[sa.Connection]:
    """A connection to a database with a partitioned table of nine rows."""
    with autocommit(postgres_url) as connection:
        for statement in MADE.split(";"):
            connection.exec_driver_sql(statement.replace("%", "%%"), {})
        yield connection


@pytest.fixture
def updated(connection: sa.Connection) -> list[str]:
    """The tables that are written, each when its first page is."""
    found: list[str] = []

    def see(*event: object) -> None:
        words = str(event[2]).partition(f"{MARKER} UPDATE ")[2].partition(" SET ")[0].partition(" AS ")[0]
        if words and words not in found:
            found.append(words.strip())

    sa.event.listen(connection, "before_cursor_execute", see)
    return found


def names(quoted: list[str]) -> list[str]:
    return [name.strip('"').replace('""', '"').replace("%%", "%") for name in quoted]


def test_the_order_of_the_leaves(connection: sa.Connection) -> None:
    assert leaves(connection, TABLE, ["a"]) == OLDEST_FIRST
    assert leaves(connection, TABLE, ["a"], newest_first=True) == OLDEST_FIRST[::-1]
    assert leaves(connection, "logs_1", ["a"]) == ["logs_1"]
    assert leaves(connection, "nowhere", ["a"]) == ["nowhere"]


def test_a_table_is_changed_as_a_whole_where_its_leaves_cannot_be(connection: sa.Connection) -> None:
    assert leaves(connection, TABLE, ["a", "at"]) == [TABLE]  # rows would move
    assert leaves(connection, TABLE, ["id"]) == [TABLE]  # by the key of a leaf
    connection.exec_driver_sql(f"ALTER TABLE {QUOTED} ENABLE ROW LEVEL SECURITY".replace("%", "%%"), {})
    assert leaves(connection, TABLE, ["a"]) == [TABLE]  # policies are those of the table
    connection.exec_driver_sql(f"ALTER TABLE {QUOTED} DISABLE ROW LEVEL SECURITY".replace("%", "%%"), {})
    connection.exec_driver_sql("CREATE SCHEMA elsewhere")
    connection.exec_driver_sql("ALTER TABLE logs_1 SET SCHEMA elsewhere")
    assert leaves(connection, TABLE, ["a"]) == [TABLE]
    connection.exec_driver_sql("ALTER TABLE elsewhere.logs_1 SET SCHEMA public")
    connection.exec_driver_sql("CREATE ROLE reader_of_logs")
    try:
        connection.exec_driver_sql(f"GRANT SELECT, UPDATE ON {QUOTED} TO reader_of_logs".replace("%", "%%"), {})
        connection.exec_driver_sql("SET ROLE reader_of_logs")
        assert leaves(connection, TABLE, ["a"]) == [TABLE]
        assert fill(connection, TABLE, "b", "'x'") == 9
    finally:
        connection.exec_driver_sql("RESET ROLE")
        connection.exec_driver_sql("DROP OWNED BY reader_of_logs")
        connection.exec_driver_sql("DROP ROLE reader_of_logs")


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_column_is_filled_leaf_by_leaf(newest_first: bool, connection: sa.Connection, updated: list[str]) -> None:
    value = f"{QUOTED}.a || '%'".replace("%", "%%")  # an expression may name the table
    assert fill(connection, TABLE, "b", value, newest_first=newest_first) == 9
    expected = leaves(connection, TABLE, ["b"], newest_first=newest_first)
    assert names(updated) == [leaf for leaf in expected if leaf != "logs_default"]  # which is empty
    assert fill(connection, TABLE, "b", value) == 0


@pytest.mark.parametrize("newest_first", [False, True])
def test_values_are_changed_leaf_by_leaf(newest_first: bool, connection: sa.Connection, updated: list[str]) -> None:
    told: list[int] = []
    report = backfill(
        connection,
        TABLE,
        ["a"],
        lambda value: value.upper() if value.islower() else None,
        progress=told.append,
        newest_first=newest_first,
        page_rows=2,
    )
    assert (report.table, report.rows, report.columns["a"].changed) == (TABLE, 9, 9)
    assert told == sorted(told[: told.index(9) + 1]) + sorted(told[told.index(9) + 1 :])  # once in each pass
    expected = leaves(connection, TABLE, ["a"], newest_first=newest_first)
    assert names(updated) == [leaf for leaf in expected if leaf != "logs_default"]


@pytest.mark.parametrize("how", ["DROP TABLE logs_1", f"ALTER TABLE {QUOTED} DETACH PARTITION logs_1"])
def test_a_leaf_that_goes_meanwhile_is_passed_over(how: str, connection: sa.Connection, postgres_url: str) -> None:
    def retire(_rows: int) -> None:
        if query(postgres_url, "SELECT 1 FROM pg_class WHERE relname = 'logs_1' AND relispartition"):
            with autocommit(postgres_url) as other:
                other.exec_driver_sql(how.replace("%", "%%"), {})

    change = backfill(
        connection, TABLE, ["a"], lambda value: value.upper() if value.islower() else None, progress=retire
    )
    left = query(postgres_url, f"SELECT a FROM {QUOTED} ORDER BY id")
    assert [a for (a,) in left] == ["A0", "A1", "A4", "A5", "A6", "A7", "A8"]
    assert change.rejected == 0


def test_the_number_of_rows_is_that_of_the_leaves(connection: sa.Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE plain AS SELECT generate_series(1, 50) AS id")
    assert [Table(connection, name, [], "id").estimate() for name in (TABLE, "plain")] == [0, 0]
    for name, *_ in connection.exec_driver_sql("SELECT relname FROM pg_class WHERE relname ~ '^(logs|plain)'").all():
        connection.execute(sa.text("ANALYZE " + quoted(name)))
    assert [Table(connection, name, [], "id").estimate() for name in (TABLE, "logs_1", "plain")] == [9, 2, 50]


def test_a_leaf_that_stops_the_change_stops_all(connection: sa.Connection) -> None:
    read: list[int] = []
    pace = Pace(rows=1, target=0, stopped=lambda: bool(read))
    report = backfill(connection, TABLE, ["a"], str.upper, progress=read.append, pace=pace)
    assert report.stopped
    assert report.columns["a"].changed == 2  # of the first leaf: the next page is read while one is written


def test_revisions_take_the_same_words(postgres_url: str, history: History) -> None:
    statements = (
        "CREATE TABLE logs (id bigint, at timestamp, a text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
        "CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (MINVALUE) TO ('2026-01-01')",
        "CREATE TABLE logs_2 PARTITION OF logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
        "INSERT INTO logs VALUES (1, '2025-05-05', 'A'), (2, '2026-05-05', 'B')",
    )
    history.add("\n".join(f"op.execute({statement!r})" for statement in statements))
    history.add(
        "from app.revision_api import Backfill\n\nop.add_column('logs', sa.Column('b', sa.Text))\n"
        "with op.concurrently():\n    op.fill_column('logs', 'b', 'a', newest_first=True)\n"
        "Backfill('logs', ('a',), str.lower, todo='a <> lower(a)', newest_first=True).upgrade()"
    )
    history.upgrade(postgres_url)
    assert query(postgres_url, "SELECT a, b FROM logs ORDER BY id") == [("a", "A"), ("b", "B")]


@pytest.mark.parametrize("head_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("workers", [[], pytest.param(["--workers", "2"], marks=pytest.mark.exhaustive)])
def test_secrets_of_a_partitioned_table(workers: list[str], head_url: str) -> None:
    gateway = Gateway(head_url)
    gateway.fill(20)
    with autocommit(head_url) as connection:
        for statement in (
            "ALTER TABLE users RENAME TO users_before",
            "CREATE TABLE users (LIKE users_before INCLUDING DEFAULTS) PARTITION BY RANGE (created_at)",
            "ALTER TABLE users ADD PRIMARY KEY (id, created_at)",
            "CREATE TABLE users_1 PARTITION OF users FOR VALUES FROM (MINVALUE) TO ('2026-01-01')",
            "CREATE TABLE users_2 PARTITION OF users FOR VALUES FROM ('2026-01-01') TO (MAXVALUE)",
            "UPDATE users_before SET created_at = '2025-01-01' WHERE github_user_id % 2 = 0",
            "INSERT INTO users SELECT * FROM users_before",
            "DROP TABLE users_before",
        ):
            connection.execute(sa.text(statement))
    table = ("--table", "users")
    assert gateway.json("encrypt", *table, *workers)["tables"][0]["columns"]["github_access_token"]["changed"] == 20
    assert (
        gateway.json("rotate", *table, *workers, **NEW)["tables"][0]["columns"]["github_access_token"]["changed"] == 20
    )
    (column, _) = gateway.json("verify", *table, **NEW)["columns"]
    assert (column["rows"], [*column["keys"].values()]) == (20, [20, 0])
