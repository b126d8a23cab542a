"""Changes of a type in three steps: they end where the plain ALTER does, whoever writes meanwhile."""

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import Script

from app.migrations import snapshots
from app.migrations.errors import DataLossRefused, MigrationError
from app.migrations.lint import lint
from tests.database.test_concurrently import block, new
from tests.support import sample_rows
from tests.support.alembic_in_process import HEAD, History, config, downgrade, upgrade
from tests.support.approved_texts import Approve
from tests.support.database_access import connected, engine, execute, rows, run_script
from tests.support.databases import DATABASES, KINDS, ONE_A_DAY, Servers, database, everyday
from tests.support.editable_project import EditableProject
from tests.support.schema_dump import schema_of

__all__ = ["new"]

pytestmark = pytest.mark.in_turn

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
STEPS = ("start", "fill", "finish")
POSTGRESQL = DATABASES[1:]

each_case = pytest.mark.parametrize("case", everyday(CASES, ["a required column"]))


def call(word: str, case: str, *, back: bool = False) -> str:
    column, new, old, using, using_back = CASES[case]
    if back:
        new, old, using = old, new, using_back
    conversion = f", postgresql_using={using!r}" if using else ""
    nullable = f", existing_nullable={column != 'n'}"
    return f'op.{word}("children", {column!r}, type_={new}, existing_type={old}{nullable}{conversion})'


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


def children(url: str) -> list[tuple[Any, ...]]:
    return rows(url, 'SELECT id, a, n, "s %", t, w, m FROM children ORDER BY id')


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


IN_THE_WAY = {
    "CREATE VIEW v AS SELECT a FROM children": "rule _RETURN on view v needs it",
    "ALTER TABLE parents ADD FOREIGN KEY (id) REFERENCES children (a)": "on table parents needs it",
    "CREATE STATISTICS s ON id, a FROM children": "statistics object s needs it",
    "ALTER TABLE children ADD COLUMN g integer GENERATED ALWAYS AS (a + 1) STORED": "needs it",
    "ALTER TABLE children ADD EXCLUDE USING btree (a WITH =)": "constraint children_a_excl on table children needs it",
    "CREATE TABLE heirs () INHERITS (children)": "its table is partitioned, or inherits",
    "GRANT SELECT (a) ON children TO public": "it has privileges of its own",
    "ALTER TABLE children DROP CONSTRAINT children_pkey": "its table has no primary key",
    "CREATE POLICY p ON children USING (a > 0)": "policy p on table children needs it",
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("column", everyday(["a", "n", "s %"], ["s %"]))
def test_a_rename_ends_where_the_plain_one_does(column: str, new: Callable[[], str], tmp_path: Path) -> None:
    url, other = new(), new()
    folder = tmp_path / "plain"
    folder.mkdir()
    plain, history = History(folder), History(tmp_path)
    names = f"{column!r}, 'an_a'", f"'an_a', {column!r}"
    kind = {"a": "sa.Integer()", "n": "sa.Integer()", "s %": "sa.String(100)"}[column]
    words = [[f'op.{word}_rename("children", {pair}, type_={kind})' for pair in names] for word in STEPS]
    (start, start_back), (fill, fill_back), (finish, finish_back) = words
    for each in (plain, history):
        each.add(TABLES)
    plain.add(f'op.alter_column("children", {column!r}, new_column_name="an_a")')
    steps = [
        history.add(start, finish_back),
        history.add(block(fill), block(fill_back)),
        history.add(finish, start_back),
    ]
    for place, each in ((other, plain), (url, history)):
        each.upgrade(place, "20260101000000")
        execute(place, *ROWS)
    before, at_first = facts_of(url), children(url)
    plain.upgrade(other)
    wanted = "SELECT id, an_a FROM children ORDER BY id"
    for _ in range(2):
        for step in steps:
            history.upgrade(url, step)
            history.downgrade(url, "-1")
            history.upgrade(url, step)
        assert facts_of(url) == facts_of(other)
        assert rows(url, wanted) == rows(other, wanted)
        history.downgrade(url, "20260101000000")
        assert facts_of(url) == before
        assert children(url) == at_first


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", POSTGRESQL)
def test_both_names_have_the_same_value(kind: str, servers: Servers, tmp_path: Path) -> None:
    history = History(tmp_path)
    base = history.add(TABLES)
    history.add('op.start_rename("children", "n", "m2", type_=sa.Integer())')
    with database(kind, servers, tmp_path) as url:
        history.upgrade(url, base)
        execute(url, *ROWS)
        history.upgrade(url)
        execute(
            url,
            "INSERT INTO children (id, n) VALUES (10, 1)",
            "INSERT INTO children (id, m2) VALUES (11, 2)",
            "INSERT INTO children (id) VALUES (12)",
            "UPDATE children SET n = 20 WHERE id = 1",
            "UPDATE children SET m2 = 30 WHERE id = 2",
            "UPDATE children SET t = 'x' WHERE id = 3",
        )
        found = rows(url, "SELECT id, n, m2 FROM children ORDER BY id")
        assert found == [(1, 20, 20), (2, 30, 30), (3, 5, 5), (10, 1, 1), (11, 2, 2), (12, 7, 7)]


@pytest.mark.parametrize("kind", POSTGRESQL)
def test_what_would_be_lost_is_refused_before_anything_changes(kind: str, servers: Servers, tmp_path: Path) -> None:
    history = History(tmp_path)
    base, *steps = written(history, "integer to bigint")
    with database(kind, servers, tmp_path) as template:
        history.upgrade(template, base)
        execute(template, "CREATE UNIQUE INDEX children_a ON children (a)")
        for statement, reason in IN_THE_WAY.items():
            with database(kind, servers, tmp_path, template) as url:
                execute(url, statement)
                start = schema_of(url)
                with pytest.raises(MigrationError, match=re.escape(reason)) as refused:
                    history.upgrade(url)
                assert "children.a can't get another type beside its readers and writers" in str(refused.value)
                assert schema_of(url) == start
        with database(kind, servers, tmp_path, template) as url:  # what comes between two steps isn't lost either
            history.upgrade(url, steps[1])
            execute(url, "CREATE INDEX late ON children (a, t)")
            with pytest.raises(MigrationError, match="children has got late since a_as_bigint was filled"):
                history.upgrade(url)
            history.downgrade(url, "-1")
            history.upgrade(url)
            assert "late" in str(facts_of(url).keys())


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_values_that_do_not_fit_are_found_before_the_first_step(url: str, history: History) -> None:
    base, *_ = written(history, "a shorter text")
    history.upgrade(url, base)
    execute(url, *ROWS, f"""UPDATE children SET "s %" = '{"x" * 51}' WHERE id = 1""")
    start = schema_of(url)
    if url.startswith("sqlite"):
        history.upgrade(url)  # which keeps longer texts
        return
    with pytest.raises(DataLossRefused, match=r"would change or refuse the values of 1 row"):
        history.upgrade(url)
    assert schema_of(url) == start


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", POSTGRESQL)
def test_a_writer_goes_on_meanwhile(kind: str, servers: Servers, tmp_path: Path) -> None:
    history, stop = History(tmp_path), threading.Event()
    base, _, _, finish = written(history, "integer to bigint")
    written_rows = 0

    def write(url: str) -> None:
        nonlocal written_rows
        with engine(url).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not stop.is_set():
                for statement in (
                    "UPDATE children SET a = NULL WHERE id = 1 + random() * 20000",
                    "UPDATE children SET a = id, n = id WHERE id = 1 + (random() * 20000)::integer AND id > 10",
                    "INSERT INTO children (id, a, n) SELECT max(id) + 1, max(id) + 1, max(id) + 1 FROM children",
                ):
                    connection.exec_driver_sql(statement)
                    written_rows += 1

    with database(kind, servers, tmp_path) as url:
        history.upgrade(url, base)
        many = "SELECT g FROM generate_series(1, 200000) g"
        execute(url, f"INSERT INTO parents {many}", "DELETE FROM children")
        execute(url, "INSERT INTO children (id, a, n) SELECT g, g, g FROM generate_series(1, 20000) g")
        writer = threading.Thread(target=write, args=[url])
        writer.start()
        try:
            history.upgrade(url, str(int(finish) - 1))
            before = written_rows
            different = "SELECT count(*) FROM children WHERE a_as_bigint IS DISTINCT FROM a"
            assert rows(url, different) == [(0,)]
            history.upgrade(url)
        finally:
            stop.set()
            writer.join()
        assert before > 0
        assert rows(url, "SELECT count(*) > 20000, count(a) > 10000, max(a) > 20000 FROM children") == [(True,) * 3]


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", POSTGRESQL)
def test_a_script_does_the_same_or_fails(kind: str, servers: Servers, tmp_path: Path) -> None:
    for case, fails in (("text to json", False), ("integer to bigint", True), ("a shorter text", True)):
        folder = tmp_path / case
        folder.mkdir()
        history = History(folder)
        base, *_ = written(history, case)
        with database(kind, servers, folder) as url, database(kind, servers, folder) as other:
            for place in (url, other):
                history.upgrade(place, base)
                execute(place, *ROWS)
            script = history.upgrade_script(other, f"{base}:head")
            if fails:
                with pytest.raises(Exception, match=r"has indexes or constraints, which a script can't copy"):
                    run_script(other, script)
                continue
            history.upgrade(url)
            run_script(other, script)
            assert facts_of(url) == facts_of(other)
            assert children(url) == children(other)


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ONE_A_DAY, indirect=True)
def test_a_key_is_named_and_not_written(
    head_url: str, editable: EditableProject, caplog: pytest.LogCaptureFixture
) -> None:
    editable.edit_models('tables["api_keys"].c.id.type = sa.BigInteger()')
    command.revision(config(head_url, editable.ini), "change it", autogenerate=True)
    said = "Nothing was written for: api_keys.id, which should be BIGINT: it is in the primary key, so no other column"
    assert said in caplog.text
    texts = [path.read_text(encoding="utf-8") for path in editable.versions.glob("*change_it.py")]
    assert not any("type_change(" in text or "op.alter_column(" in text for text in texts)


EDITS = {
    "integer to bigint": 'tables["model_mapping_providers"].c.priority.type = sa.BigInteger()',
    "a number to text": 'tables["request_logs"].c.response_status.type = sa.String(20)',
    "two columns": (
        'mappings = tables["model_mapping_providers"]\n'
        "mappings.c.priority.type = mappings.c.weight.type = sa.BigInteger()"
    ),
    "a rename": (
        'logs = tables["request_logs"]\nold = logs.c.retry_count\nlogs._columns.remove(old)\n'
        'info = {"renamed_from": old.name, "both_names": True}\n'
        'logs.append_column(sa.Column("retries", sa.Integer, comment=old.comment, info=info, nullable=False, '
        'server_default=sa.text("0")))'
    ),
    "two columns and an index": (
        'logs = tables["request_logs"]\n'
        "logs.c.api_key_name.type = logs.c.provider_name.type = sa.String(90)\n"
        'sa.Index("request_logs_names_idx", logs.c.api_key_name, logs.c.provider_name)'
    ),
}


@pytest.mark.parametrize("edit", everyday(EDITS, ["integer to bigint"]))
@pytest.mark.parametrize("head_url", ONE_A_DAY[:2], indirect=True)
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
