"""Changes of a type in three steps: they end where the plain ALTER does, whoever writes meanwhile."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.migrations import snapshots
from tests.support.alembic_in_process import History
from tests.support.database_access import connected, execute, rows
from tests.support.databases import DATABASES, Servers, database

TABLES = """
op.create_table("parents", sa.Column("id", sa.BigInteger), sa.PrimaryKeyConstraint("id", name="parents_pkey"))
op.create_table(
    "children",
    sa.Column("id", sa.Integer, nullable=False),
    sa.Column("a", sa.Integer, comment="it's 100% a"),
    sa.Column("n", sa.Integer, nullable=False, server_default="7"),
    sa.Column("s %", sa.String(100), server_default="x"),
    sa.Column("t", sa.Text),
    sa.Column("w", sa.DateTime),
    sa.Column("m", sa.Numeric(10, 4)),
    sa.PrimaryKeyConstraint("id", name="children_pkey"),
    sa.UniqueConstraint("a", "n", name="children_a_n_key"),
    sa.CheckConstraint("a > 0 AND a < n + 1000000 AND 'a%' <> 'b'", name="children_check"),
    sa.ForeignKeyConstraint(["a"], ["parents.id"], name="children_a_fkey", ondelete="CASCADE"),
)
op.create_index("children_partial", "children", ["id", "a"], postgresql_where=sa.text("a > 5"))
op.execute_on("postgresql", 'CREATE INDEX children_lower ON children (lower("s %"))')
op.create_index("children_n", "children", ["n", "a"], unique=True)
"""
# The column, its types and conversions; times without a zone are the server's for the gate, which asks for a consent.
CONSENT = {"alter_type children.w": "these are times of UTC"}
CASES = {
    "integer to bigint": ("a", "sa.BigInteger()", "sa.Integer()", None, None),
    "a required column": ("n", "sa.BigInteger()", "sa.Integer()", None, None),
    "a shorter text": ("s %", "sa.String(50)", "sa.String(100)", None, None),
    "text to json": ("t", "sa.JSON()", "sa.Text()", "t::json", None),
    "a time with its zone": ("w", "sa.DateTime(timezone=True)", "sa.DateTime()", "w AT TIME ZONE 'UTC'", "w AT TIME ZONE 'UTC'"),
    "another scale": ("m", "sa.Numeric(12, 6)", "sa.Numeric(10, 4)", None, None),
}
ROWS = (
    "INSERT INTO parents VALUES (1), (2), (3)",
    """INSERT INTO children VALUES (1, 1, 2, 'x%', '{"a": 1}', '2026-01-01 10:00:00', 1.2345), """
    "(2, 2, 3, 'y', '[]', NULL, 9), (3, NULL, 5, NULL, NULL, NULL, NULL)",
)
each_case = pytest.mark.parametrize("case", CASES)


def call(word: str, case: str, *, back: bool = False) -> str:
    column, new, old, using, using_back = CASES[case]
    if back:
        new, old, using = old, new, using_back
    conversion = f", postgresql_using={using!r}" if using else ""
    nullable = f", existing_nullable={column != 'n'}"
    return f'op.{word}("children", {column!r}, type_={new}, existing_type={old}{nullable}{conversion})'


def block(call: str) -> str:
    return f"with op.concurrently():\n    {call}"


def written(history: History, case: str) -> list[str]:
    """Writes a revision with the tables, and the three; returns all."""
    start, fill, finish = "start_type_change", "fill_type_change", "finish_type_change"
    return [
        history.add(TABLES),
        history.add(call(start, case), call(finish, case, back=True), acknowledged=consent(case)),
        history.add(block(call(fill, case)), block(call(fill, case, back=True))),
        history.add(call(finish, case), call(start, case, back=True), acknowledged=consent(case)),
    ]


def consent(case: str) -> dict[str, str] | None:
    return CONSENT if CASES[case][0] == "w" else None


def facts_of(url: str) -> snapshots.Snapshot:
    with connected(url) as connection:
        return snapshots.take(connection)


def children(url: str) -> list[object]:
    return rows(url, 'SELECT id, a, n, "s %", t, w, m FROM children ORDER BY id')


@pytest.fixture(params=DATABASES)
def new(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes empty databases of one kind."""
    with ExitStack() as exits:
        numbers = itertools.count()

        def make() -> str:
            folder = tmp_path / str(next(numbers))
            folder.mkdir()
            return exits.enter_context(database(request.param, servers, folder))

        yield make


@each_case
def test_it_ends_where_the_plain_change_does(case: str, new: Callable[[], str], tmp_path: Path) -> None:
    url, other = new(), new()
    folder = tmp_path / "plain"
    folder.mkdir()
    plain, history = History(folder), History(tmp_path)
    plain.add(TABLES)
    plain.upgrade(other)
    execute(other, *ROWS)
    given = None if other.startswith("sqlite") else consent(case)  # both types are the same there
    alter = plain.add(call("alter_column", case), call("alter_column", case, back=True), acknowledged=given)
    base, *steps = written(history, case)
    history.upgrade(url, base)
    execute(url, *ROWS)
    start, before = facts_of(url), children(url)
    plain.upgrade(other, alter)
    for _ in range(2):
        for step in steps:
            history.upgrade(url, step)
            history.downgrade(url, "-1", accept=[step])
            history.upgrade(url, step)
        assert facts_of(url) == facts_of(other)
        assert children(url) == children(other)
        history.downgrade(url, base, accept=steps)
        assert facts_of(url) == start
        assert children(url) == before
