"""Changes of a type in three steps: they end where the plain ALTER does, whoever writes meanwhile."""

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from alembic import command
from alembic.script import Script

from app.migrations import snapshots
from app.migrations.lint import lint
from tests.support import sample_rows
from tests.support.alembic_in_process import HEAD, History, config, downgrade, upgrade
from tests.support.approved_texts import Approve
from tests.support.database_access import connected, execute, rows
from tests.support.databases import DATABASES, ONE_A_DAY, Servers, database
from tests.support.editable_project import EditableProject
from tests.support.schema_dump import schema_of

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
    "a time with its zone": (
        "w",
        "sa.DateTime(timezone=True)",
        "sa.DateTime()",
        "w AT TIME ZONE 'UTC'",
        "w AT TIME ZONE 'UTC'",
    ),
    "another scale": ("m", "sa.Numeric(12, 6)", "sa.Numeric(10, 4)", None, None),
}
ROWS = (
    "INSERT INTO parents VALUES (1), (2), (3)",
    """INSERT INTO children VALUES (1, 1, 2, 'x%', '{"a": 1}', '2026-01-01 10:00:00', 1.2345)""",
    "INSERT INTO children VALUES (2, 2, 3, 'y', '[]', NULL, 9), (3, NULL, 5, NULL, NULL, NULL, NULL)",
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


EDITS = {
    "integer to bigint": 'tables["model_mapping_providers"].c.priority.type = sa.BigInteger()',
    "text to json": 'tables["request_logs"].c.error_info.type = sa.JSON()',
    "two columns and an index": (
        'logs = tables["request_logs"]\n'
        "logs.c.api_key_name.type = logs.c.provider_name.type = sa.String(90)\n"
        'sa.Index("request_logs_names_idx", logs.c.api_key_name, logs.c.provider_name)'
    ),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("head_url", ONE_A_DAY, indirect=True)
def test_autogenerate_writes_three_files(edit: str, head_url: str, editable: EditableProject, approve: Approve) -> None:
    sample_rows.fill(head_url, 1, 2, 3)
    editable.edit_models(EDITS[edit])
    start = schema_of(head_url)
    made = command.revision(config(head_url, editable.ini), "change it", autogenerate=True)
    scripts = [script for script in (made if isinstance(made, list) else [made]) if isinstance(script, Script)]
    approve(f"type_changes/{edit.replace(' ', '_')}.txt", "\n".join(_plain(Path(s.path), scripts) for s in scripts))
    linted = lint(config(head_url, editable.ini), scripts)
    assert [finding.text() for finding in linted.findings] == linted.notes == []
    upgrade(head_url, "head", editable.ini)
    end = schema_of(head_url)
    command.check(config(head_url, editable.ini))
    downgrade(head_url, HEAD, editable.ini, accept=[script.revision for script in scripts])
    assert schema_of(head_url) == start
    upgrade(head_url, "head", editable.ini)
    assert schema_of(head_url) == end != start


def _plain(file: Path, scripts: list[Script]) -> str:
    text = file.read_text(encoding="utf-8")
    for number, revision in enumerate([HEAD, *(script.revision for script in scripts)]):
        text = text.replace(revision, f"<{number}>")
    return f"# {re.sub(r'^[0-9]+', '<id>', file.name)}\n{text}"
