"""The gate: what would lose data is refused before it runs, however it is written, unless somebody has consented."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command

from app import db
from app.migrations.data_loss import preview
from app.migrations.errors import DataLossRefused, MigrationError
from app.migrations.run import blockers
from app.migrations.run.ledger import Ledger
from tests.support import sample_rows
from tests.support.alembic_in_process import config, revision_of
from tests.support.approved_texts import Approve, plain
from tests.support.command_processes import Done, failed
from tests.support.database_access import connected, execute, query
from tests.support.databases import ONE_A_DAY, At
from tests.support.ledger_rows import attempts
from tests.support.project_copy import ProjectCopy
from tests.support.schema_dump import schema_of
from tests.support.schema_in_process import schema
from tests.support.waiting import wait_until

FIRST = "20260101000000"

# --- the matrix: what is done, in every way that it can be written -----------------------------------------------

# In SQL, for both databases unless their name is said; {t} is a table (a TEXT, b TEXT), in which b is NULL throughout.
SQL = {
    "drop_table": "DROP TABLE {t}",
    "drop_column": "ALTER TABLE {t} DROP COLUMN a",
    "delete": "DELETE FROM {t}",
    "update": "UPDATE {t} SET a = b",
}
SQL_OF_POSTGRESQL = {
    "truncate": "TRUNCATE {t}",
    "alter_type": "ALTER TABLE {t} ALTER COLUMN a TYPE integer USING length(a)",
    "set_not_null": "ALTER TABLE {t} ALTER COLUMN b SET NOT NULL",
    "add_unique": "ALTER TABLE {t} ADD CONSTRAINT one_{t} UNIQUE (a)",
    "add_column": "ALTER TABLE {t} ADD COLUMN c text NOT NULL",
}
# In Alembic's words.
OPERATIONS = {
    "drop_table": 'op.drop_table("{t}")',
    "drop_column": 'op.drop_column("{t}", "a")',
    "alter_type": 'op.alter_column("{t}", "a", type_=sa.Integer(), postgresql_using="length(a)")',
    "set_not_null": 'op.alter_column("{t}", "b", nullable=False, existing_type=sa.Text())',
    "add_unique": 'op.create_unique_constraint("one_{t}", "{t}", ["a"])',
    "unique_index": 'op.create_index("one_{t}", "{t}", ["a"], unique=True)',
    "add_column": 'op.add_column("{t}", sa.Column("c", sa.Text(), nullable=False))',
}
IN_BATCH = {
    "drop_column": 'batch.drop_column("a")',
    "alter_type": 'batch.alter_column("a", type_=sa.Integer(), postgresql_using="length(a)")',
    "set_not_null": 'batch.alter_column("b", nullable=False, existing_type=sa.Text())',
    "add_unique": 'batch.create_unique_constraint("one_{t}", ["a"])',
    "add_column": 'batch.add_column(sa.Column("c", sa.Text(), nullable=False))',
}
CORE = {
    "drop_table": 'sa.schema.DropTable(sa.table("{t}"))',
    "delete": 'sa.delete(sa.table("{t}"))',
    "update": 'sa.update(sa.table("{t}", sa.column("a"))).values(a=None)',
}
# How each kind of SQL is written.
WAYS = {
    "raw": "op.execute({sql!r})",
    "loop": "for table in [{t!r}]:\n    op.execute(f{loop!r})",
    "helper": "import helper_of_the_gate\n\nhelper_of_the_gate.carry_out({sql!r})",
    "bind": "op.get_bind().execute(sa.text({sql!r}))",
    "driver": "op.get_bind().exec_driver_sql({sql!r})",
}
BLOCK = "op.execute({block!r})"
HELPER = "from alembic import op\n\n\ndef carry_out(statement):\n    op.execute(statement)\n"

NAMES = {
    "drop_table": "drop_table {t}",
    "drop_column": "drop_column {t}.a",
    "delete": "delete {t}",
    "update": "update {t}.a",
    "truncate": "truncate {t}",
    "alter_type": "alter_type {t}.a",
    "set_not_null": "set_not_null {t}.b",
    "add_unique": "add_unique {t}.a",
    "unique_index": "add_unique {t}.a",
    "add_column": "add_column {t}.c",
}
HARMS = {
    "drop_table": "dropping the table {t} would lose 2 rows.",
    "drop_column": "dropping the column {t}.a would lose its values in 2 rows.",
    "delete": "a DELETE without a WHERE would lose 2 rows of {t}.",
    "update": "an UPDATE without a WHERE would write over {t}.a in 2 rows.",
    "truncate": "TRUNCATE would lose 2 rows of {t}.",
    "alter_type": "changing {t}.a to INTEGER would change or refuse the values of 2 rows.",
    "set_not_null": "{t}.b can't become NOT NULL: it is NULL in 2 rows.",
    "add_unique": "{t}.a can't become unique: the same values stand in several rows.",
    "unique_index": "{t}.a can't become unique: the same values stand in several rows.",
    "add_column": "{t}.c is NOT NULL without a server default, and {t} has 2 rows.",
}
# These fail where rows are at risk, whatever anybody says.
FAIL = {"set_not_null", "add_unique", "unique_index", "add_column"}


class Cell:
    """One operation in one way, on a table of its own."""

    def __init__(self, number: int, kind: str, way: str, body: str) -> None:
        self.kind = kind
        self.name = f"{kind}, {way}"
        self.table = f"t{number}"
        sql = (SQL | SQL_OF_POSTGRESQL).get(kind, "")
        self.body = body.format(
            t=self.table,
            sql=sql.format(t=self.table),
            loop=sql.format(t="{table}"),
            block=f"DO $$ BEGIN {sql.format(t=self.table)}; END $$",
        )
        self.consent = {NAMES[kind].format(t=self.table): f"the copy of {self.table} has it"}

    def beats(self, revision: str, *, upgrade: bool = True, note: str = "") -> list[str]:
        """The first and the last line of its refusal."""
        harm = HARMS[self.kind].format(t=self.table)
        first = f"{revision}: {harm}{f' [{note}]' if note else ''} ({revision}.py line N)"
        if self.kind in FAIL:
            return [first]
        (name,) = self.consent
        if not upgrade:
            return [first, f"  If you mean it, this time: alembic -x accept-data-loss={revision} downgrade …"]
        consent = f'acknowledged = {{"{name}": "why, and where the data is"}}'
        return [first, f"  If you mean it, write in {revision}.py: {consent}"]


def cells(url: str, extent: str = "every way", *, on_one_table: bool = False) -> list[Cell]:
    """Every operation in every way, or in one way each: in another way than the operation before it."""
    postgresql = "postgresql" in url
    written = [(kind, "op", code) for kind, code in OPERATIONS.items()]
    written += [
        (kind, "batch", f'with op.batch_alter_table("{{t}}") as batch:\n    {code}') for kind, code in IN_BATCH.items()
    ]
    written += [(kind, "Core", f"op.get_bind().execute({code})") for kind, code in CORE.items()]
    ways = WAYS | ({"block": BLOCK} if postgresql else {})
    kinds = SQL | (SQL_OF_POSTGRESQL if postgresql else {})
    written += [(kind, way, code) for kind in kinds for way, code in ways.items()]
    if extent == "one way each":
        by_kind: dict[str, list[tuple[str, str, str]]] = {}
        for each in written:
            by_kind.setdefault(each[0], []).append(each)
        written = [choices[number % len(choices)] for number, choices in enumerate(by_kind.values())]
    return [Cell(0 if on_one_table else number, *each) for number, each in enumerate(written)]


each_extent = pytest.mark.parametrize(
    "extent", ["one way each", pytest.param("every way", marks=pytest.mark.exhaustive)]
)


@pytest.fixture
def project(tmp_path: Path) -> ProjectCopy:
    """A project without revisions, and with a helper that revisions may import."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "helper_of_the_gate.py").write_text(HELPER, encoding="utf-8")
    return ProjectCopy(folder, revisions=False)


def start(url: str, project: ProjectCopy, tables: Iterable[str], *, with_rows: bool) -> None:
    """Brings the database to a first revision, with these tables."""
    project.add("pass")
    project.upgrade(url)
    values = ["INSERT INTO {t} VALUES ('x', NULL), ('x', NULL)"] if with_rows else []
    statements = ["CREATE TABLE {t} (a TEXT, b TEXT)", *values]
    execute(url, "CREATE TABLE seen (n INTEGER)", "INSERT INTO seen VALUES (0)")
    execute(url, *(statement.format(t=table) for table in tables for statement in statements))


def everything_in(url: str) -> tuple[Any, ...]:
    return revision_of(url), schema_of(url), {t: sorted(v) for t, v in table_rows(url).items()}


def table_rows(url: str) -> dict[str, list[str]]:
    """The rows of each table as texts, but for the books."""
    with connected(url) as connection:
        tables = [t for t in sa.inspect(connection).get_table_names() if t not in ("alembic_version", "schema_ledger")]
        whole = {t: sa.select(sa.text("*")).select_from(sa.table(t)) for t in tables}
        return {t: [str(tuple(row)) for row in connection.execute(question)] for t, question in whole.items()}


def refused(run: Callable[[], None], url: str, state: Callable[[str], object] = everything_in) -> list[str]:
    """The first and the last line of each finding; nothing is half done."""
    before = state(url)
    with pytest.raises(DataLossRefused) as caught:
        run()
    assert state(url) == before
    said = [re.sub(r"line \d+", "line N", line) for line in str(caught.value).splitlines()]
    said = [line.replace(" to int would ", " to INTEGER would ") for line in said]  # as the parser writes it
    assert len([line for line in said if line.startswith("  Instead: ")]) * 3 == len(said)
    return [line for line in said if not line.startswith(("  Instead: ", "  For example: "))]


@pytest.mark.exhaustive
def test_every_lossy_operation_is_refused_before_the_first_revision_runs(url: str, project: ProjectCopy) -> None:
    written = cells(url)
    start(url, project, [cell.table for cell in written], with_rows=True)
    revisions = [project.add(cell.body) for cell in written]
    expected = [line for cell, revision in zip(written, revisions, strict=True) for line in cell.beats(revision)]
    assert refused(lambda: project.upgrade(url), url) == expected
    assert attempts(url) == [(FIRST, "upgrade", "applied")]


@each_extent
def test_no_operation_is_refused_where_no_rows_are_at_risk(extent: str, url: str, project: ProjectCopy) -> None:
    written = cells(url, extent)
    start(url, project, [cell.table for cell in written], with_rows=False)
    last = [project.add(cell.body) for cell in written][-1]
    before = schema_of(url)
    project.upgrade(url)
    assert revision_of(url) == last
    after = schema_of(url)
    changed = {t for t in (cell.table for cell in written) if of_table(after, t) != of_table(before, t)}
    assert changed == {cell.table for cell in written if cell.kind not in ("delete", "update", "truncate")}


def of_table(schema: Mapping[str, Any], table: str) -> dict[str, Any]:
    words = re.compile(rf"\b(?:one_)?{table}\b")
    return {name: value for name, value in schema.items() if words.search(f"{name} {value}")}


@each_extent
def test_an_acknowledged_loss_is_applied_and_kept_in_the_ledger(extent: str, url: str, project: ProjectCopy) -> None:
    written = [cell for cell in cells(url, extent) if cell.kind not in FAIL]
    start(url, project, [cell.table for cell in written], with_rows=True)
    revisions = [project.add(cell.body, acknowledged=cell.consent) for cell in written]
    before = table_rows(url)
    project.upgrade(url)
    assert revision_of(url) == revisions[-1]
    after = table_rows(url)
    assert [cell.name for cell in written if after.get(cell.table) == before[cell.table]] == []
    with connected(url) as connection:
        entries = Ledger(connection).entries()[1:]
    assert [(entry.revision, entry.reason) for entry in entries] == [
        (revision, f"{name}: {reason}")
        for revision, cell in zip(revisions, written, strict=True)
        for name, reason in cell.consent.items()
    ]
    assert {(entry.host, entry.outcome) for entry in entries} == {(socket.gethostname(), "applied")}


@pytest.mark.exhaustive
@each_extent
def test_a_needless_acknowledgement_does_no_harm(extent: str, url: str, project: ProjectCopy) -> None:
    written = cells(url, extent)
    start(url, project, [cell.table for cell in written], with_rows=False)
    last = [project.add(cell.body, acknowledged=cell.consent) for cell in written][-1]
    project.upgrade(url)
    assert revision_of(url) == last


@pytest.mark.exhaustive
@each_extent
def test_a_downgrade_refuses_every_lossy_operation_whatever_the_revision_acknowledges(
    extent: str, url: str, project: ProjectCopy
) -> None:
    written = cells(url, extent)
    start(url, project, [cell.table for cell in written], with_rows=True)
    revisions = [project.add("pass", cell.body) for cell in written]
    project.upgrade(url)
    for cell, revision in zip(written, revisions, strict=True):
        project.declare(revision, f"acknowledged = {cell.consent!r}")
    expected = [
        cell.beats(revision, upgrade=False) for cell, revision in zip(written[::-1], revisions[::-1], strict=True)
    ]
    assert refused(lambda: project.downgrade(url, FIRST), url) == [line for beats in expected for line in beats]


@pytest.mark.exhaustive
@each_extent
def test_a_downgrade_runs_the_losses_that_the_operator_accepts(extent: str, url: str, project: ProjectCopy) -> None:
    written = [cell for cell in cells(url, extent) if cell.kind not in FAIL]
    start(url, project, [cell.table for cell in written], with_rows=True)
    revisions = [project.add("pass", cell.body) for cell in written]
    project.upgrade(url)
    before = table_rows(url)
    project.downgrade(url, FIRST, accept=revisions)
    assert revision_of(url) == FIRST
    after = table_rows(url)
    assert [cell.name for cell in written if after.get(cell.table) == before[cell.table]] == []
    with connected(url) as connection:
        entries = [entry for entry in Ledger(connection).entries() if entry.direction == "downgrade"]
    assert [(entry.revision, entry.reason) for entry in entries] == [
        (revision, f"{name}: accepted by the operator")
        for revision, cell in zip(revisions[::-1], written[::-1], strict=True)
        for name in cell.consent
    ]


@pytest.mark.exhaustive
@each_extent
def test_a_downgrade_refuses_no_operation_where_no_rows_are_at_risk(
    extent: str, url: str, project: ProjectCopy
) -> None:
    written = cells(url, extent)
    start(url, project, [cell.table for cell in written], with_rows=False)
    for cell in written:
        project.add("pass", cell.body)
    project.upgrade(url)
    project.downgrade(url, FIRST)
    assert revision_of(url) == FIRST


# --- what can't be seen beforehand -------------------------------------------------------------------------------

# Beforehand there is no database to say how many rows were updated.
UNSEEN = 'if op.get_bind().execute(sa.text("UPDATE seen SET n = n + 1 WHERE n >= 0")).rowcount == 1:\n    {body}'
SEEN_LATE = "seen only while it ran, and rolled back; what had finished stays applied"


@pytest.mark.exhaustive
@each_extent
def test_a_lossy_operation_that_the_preview_missed_is_stopped_while_it_runs(
    extent: str, url: str, project: ProjectCopy
) -> None:
    start(url, project, ["t0"], with_rows=True)
    before = everything_in(url)
    for cell in cells(url, extent, on_one_table=True):
        body = cell.body.replace("\n", "\n    ").replace("    \n", "\n")
        revision = project.add(UNSEEN.format(body=body))
        expected = cell.beats(revision, note=SEEN_LATE)
        assert refused(lambda: project.upgrade(url), url, table_rows) == expected, cell.name
        project.file(revision).unlink()
        project._last = FIRST
    assert everything_in(url) == before
    assert {outcome for revision, _, outcome in attempts(url) if revision != FIRST} == {"failed"}


def test_a_lossy_second_revision_is_refused_before_the_first_runs(
    url: str, project: ProjectCopy, approve: Approve
) -> None:
    start(url, project, ["t"], with_rows=True)
    project.add('op.create_table("other", sa.Column("id", sa.Integer))')
    project.add('op.drop_column("t", "a")')
    before = everything_in(url)
    done = project.alembic("upgrade", "head", url=url)
    assert (done.returncode, done.stdout) == (7, "")
    approve("gate/second_of_two.txt", done.stderr)
    assert everything_in(url) == before
    assert attempts(url) == [(FIRST, "upgrade", "applied")]


# The body of the first revision and of the second; the rows that are there in the end, all of the first's.
LATE: dict[str, tuple[str, str, dict[str, list[str]]]] = {
    "rows_of_the_same_run": (
        "op.execute(\"INSERT INTO t VALUES ('new', 'new')\")",
        'op.drop_table("t")',
        {"seen": ["(0,)"], "t": ["('new', 'new')"]},
    ),
    "values_of_the_same_run": (
        "op.execute(\"INSERT INTO t VALUES ('new', 'new')\")",
        'op.execute("UPDATE t SET b = NULL WHERE a <> a")\nop.drop_column("t", "b")',
        {"seen": ["(0,)"], "t": ["('new', 'new')"]},
    ),
    "table_of_the_same_run": (
        'op.execute("CREATE TABLE copied AS SELECT * FROM seen")',
        'op.drop_table("copied")',
        {"seen": ["(0,)"], "t": [], "copied": ["(0,)"]},
    ),
    "code_that_depends_on_data": (
        'op.execute("UPDATE seen SET n = 7")',
        'if op.get_bind().scalar(sa.text("SELECT n FROM seen")) == 7:\n    op.drop_table("seen")',
        {"seen": ["(7,)"], "t": []},
    ),
}


@pytest.mark.in_turn
@pytest.mark.parametrize("name", LATE)
def test_a_loss_that_depends_on_the_same_run_is_rolled_back_after_the_first_revision_is_applied(
    name: str, url: str, project: ProjectCopy, approve: Approve
) -> None:
    consent = {"update seen.n": "it is a counter"} if name == "code_that_depends_on_data" else None
    start(url, project, ["t"], with_rows=False)
    first = project.add(LATE[name][0], acknowledged=consent)
    second = project.add(LATE[name][1])
    done = project.alembic("upgrade", "head", url=url)
    assert (done.returncode, done.stdout) == (7, "")
    approve(f"gate/{name}.txt", plain(done.stderr))
    assert revision_of(url) == first
    assert table_rows(url) == LATE[name][2]
    assert attempts(url)[1:] == [(first, "upgrade", "applied"), (second, "upgrade", "failed")]


# --- questions that a revision asks ------------------------------------------------------------------------------

ASKING = {
    "count": 'if op.get_bind().scalar(sa.text("SELECT count(*) FROM t")):\n    op.drop_column("t", "a")',
    "rows": 'for row in op.get_bind().execute(sa.text("SELECT a FROM t")).all():\n    op.drop_column("t", row.a)',
    "inspector": (
        "for column in sa.inspect(op.get_bind()).get_columns('t'):\n"
        "    op.execute(f\"UPDATE t SET {column['name']} = ''\")"
    ),
    "has_table": 'if sa.inspect(op.get_bind()).has_table("t"):\n    op.drop_table("t")',
    "reflection": (
        'table = sa.Table("t", sa.MetaData(), autoload_with=op.get_bind())\nop.get_bind().execute(table.delete())'
    ),
}


@pytest.mark.in_turn
@pytest.mark.parametrize("way", ASKING)
def test_a_revision_that_looks_first_is_refused_on_the_branch_that_it_takes(
    way: str, url: str, project: ProjectCopy, approve: Approve
) -> None:
    start(url, project, ["t"], with_rows=True)
    execute(url, "UPDATE t SET a = 'a'", "DELETE FROM t WHERE a IS NULL")
    revision = project.add(ASKING[way])
    before = everything_in(url)
    with pytest.raises(DataLossRefused) as caught:
        project.upgrade(url)
    approve(f"gate/asking.{way}.txt", f"{caught.value}\n")
    assert everything_in(url) == before
    assert attempts(url)[-1] == (revision, "upgrade", "failed")


# --- consent -----------------------------------------------------------------------------------------------------

MISSPELT = {
    "empty": ({"drop_column t.a": ""}, "acknowledged gives no reason for 'drop_column t.a'."),
    "blank": ({"drop_column t.a": " \n"}, "acknowledged gives no reason for 'drop_column t.a'."),
    "typo": (
        {"drop_column t.A": "why"},
        "acknowledged speaks of 'drop_column t.A', and the revision does no such thing; it does: drop_column t.a.",
    ),
    "too_many": (
        {"drop_column t.a": "why", "drop_table t": "why"},
        "acknowledged speaks of 'drop_table t', and the revision does no such thing; it does: drop_column t.a.",
    ),
    "list": (["drop_column t.a"], 'acknowledged must look like {"drop_column users.legacy": "reason"}.'),
    "text": ("drop_column t.a", 'acknowledged must look like {"drop_column users.legacy": "reason"}.'),
    "none": (None, 'acknowledged must look like {"drop_column users.legacy": "reason"}.'),
    "no_reason": ({"drop_column t.a": True}, 'acknowledged must look like {"drop_column users.legacy": "reason"}.'),
    "no_name": ({7: "why"}, 'acknowledged must look like {"drop_column users.legacy": "reason"}.'),
}


@pytest.mark.in_turn
@pytest.mark.parametrize("url", ONE_A_DAY, indirect=True)
@pytest.mark.parametrize("mistake", MISSPELT)
def test_a_misspelt_consent_is_none(mistake: str, url: str, project: ProjectCopy) -> None:
    start(url, project, ["t"], with_rows=True)
    revision = project.add('op.drop_column("t", "a")')
    consent, said = MISSPELT[mistake]
    project.declare(revision, f"acknowledged = {consent!r}")
    before = everything_in(url)
    done = project.alembic("upgrade", "head", url=url)
    assert failed(done, 2) == f"FAILED: {revision}.py: {said}"
    assert done.stderr.count("\n") == (2 if mistake == "too_many" else 1)  # which is known only when it has run
    assert everything_in(url) == before


def test_consent_to_one_is_no_consent_to_another(url: str, project: ProjectCopy) -> None:
    start(url, project, ["t", "u"], with_rows=True)
    consent = {"drop_column t.a": "u has it"}
    revision = project.add('op.drop_column("t", "a")\nop.drop_column("u", "a")', acknowledged=consent)
    other = project.add('op.drop_column("t", "a")')
    assert refused(lambda: project.upgrade(url), url) == [
        f"{revision}: dropping the column u.a would lose its values in 2 rows. ({revision}.py line N)",
        f'  If you mean it, write in {revision}.py: acknowledged = {{"drop_column u.a": "why, and where the data is"}}',
        f"{other}: dropping the column t.a would lose its values in 2 rows. ({other}.py line N)",
        f'  If you mean it, write in {other}.py: acknowledged = {{"drop_column t.a": "why, and where the data is"}}',
    ]


def test_the_line_that_a_refusal_prints_is_all_that_it_needs(url: str, project: ProjectCopy) -> None:
    start(url, project, ["t"], with_rows=True)
    bodies = [
        'op.drop_column("t", "a")',
        "import subprocess\n\nsubprocess.run(['true'], check=True)",
        'with op.get_bind().engine.connect() as other:\n    other.execute(sa.text("SELECT 1"))',
    ]
    revisions = [project.add(body) for body in bodies]
    with pytest.raises(DataLossRefused) as caught:
        project.upgrade(url)
    lines = re.findall(r"If you mean it, write in (\d+)\.py: (acknowledged = .*)", str(caught.value))
    assert [revision for revision, _ in lines] == revisions
    for revision, line in lines:
        text = project.file(revision).read_text(encoding="utf-8")
        project.file(revision).write_text(text.replace("\n\ndef upgrade", f"{line}\n\n\ndef upgrade"), encoding="utf-8")
    project.upgrade(url)
    with connected(url) as connection:
        entries = Ledger(connection).entries()[1:]
    assert [(entry.revision, entry.reason) for entry in entries] == [
        (revisions[0], "drop_column t.a: why, and where the data is"),
        (revisions[1], "opaque subprocess: why, and where the data is"),
        (revisions[2], "opaque a connection of its own: why, and where the data is"),
    ]


@pytest.mark.exhaustive
def test_the_operator_accepts_revision_by_revision_each_time(url: str, project: ProjectCopy, approve: Approve) -> None:
    start(url, project, ["t", "u"], with_rows=True)
    first = project.add("pass", 'op.drop_column("t", "a")')
    second = project.add("pass", 'op.drop_column("u", "a")')
    project.upgrade(url)
    before = everything_in(url)
    one = project.alembic("-x", f"accept-data-loss={first}", "downgrade", FIRST, url=url)
    assert one.returncode == 7
    assert everything_in(url) == before
    typo = project.alembic("-x", "accept-data-loss=2026", "downgrade", FIRST, url=url)
    assert failed(typo, 2) == (
        f"FAILED: accept-data-loss speaks of '2026', which isn't about to run; these are: {second}, {first}."
    )
    assert everything_in(url) == before
    both = [option for revision in (first, second) for option in ("-x", f"accept-data-loss={revision}")]
    done = project.alembic(*both, "downgrade", FIRST, url=url)
    assert done.returncode == 0
    execute(url, *(f"ALTER TABLE {table} ADD COLUMN a TEXT" for table in "tu"), "UPDATE t SET a = 'again'")
    project.upgrade(url)
    again = project.alembic("downgrade", FIRST, url=url)
    assert again.returncode == 7
    texts = [done.stderr for done in (one, done, again)]
    approve("gate/operator.txt", plain("---\n".join(texts)))
    history = schema("status", "--history", **as_command(project, url))
    reasons = [line.strip() for line in history.stdout.splitlines() if "accepted by" in line]
    assert reasons == [f"drop_column {table}.a: accepted by the operator" for table in "ut"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("spelling", ["{0},{1}", "{1}, {0}", "{0},{1},"])
def test_the_operator_accepts_several_revisions_in_one_option(url: str, project: ProjectCopy, spelling: str) -> None:
    start(url, project, ["t", "u"], with_rows=True)
    revisions = [project.add("pass", f'op.drop_column("{table}", "a")') for table in "tu"]
    project.upgrade(url)
    wrong = project.alembic("-x", f"accept-data-loss={revisions[0]},2026", "downgrade", FIRST, url=url)
    assert failed(wrong, 2).startswith("FAILED: accept-data-loss speaks of '2026', which isn't about to run")
    empty = project.alembic("-x", "accept-data-loss=", "downgrade", FIRST, url=url)
    assert failed(empty, 2).startswith("FAILED: accept-data-loss speaks of '', which isn't about to run")
    accepted = f"accept-data-loss={spelling.format(*revisions)}"
    assert project.alembic("-x", accepted, "downgrade", FIRST, url=url).returncode == 0


def as_command(project: ProjectCopy, url: str) -> dict[str, str]:
    """The variables of the command `schema` for a project in a folder of its own."""
    return {"ALEMBIC_CONFIG": str(project.ini), "DATABASE_URL": url}


def test_the_operator_may_accept_an_upgrade_too(url: str, project: ProjectCopy) -> None:
    start(url, project, ["t"], with_rows=True)
    revision = project.add('op.drop_column("t", "a")')
    done = project.alembic("-x", f"accept-data-loss={revision}", "upgrade", "head", url=url)
    assert (done.returncode, revision_of(url)) == (0, revision)
    with connected(url) as connection:
        entry = Ledger(connection).entries()[-1]
    assert entry.reason == "drop_column t.a: accepted by the operator"
    assert re.fullmatch(rf".+ on {re.escape(socket.gethostname())} pid \d+", entry.by)


# --- the hostile, and the careless -------------------------------------------------------------------------------

LOOP = "while op.get_bind().execute(sa.text(\"DELETE FROM t WHERE a = 'x'\")).rowcount:\n    pass\n"
# What is refused, or named, and never done beforehand. Each is followed by a revision that drops the table u.
HOSTILE = {
    "endless_loop": LOOP,
    "endless_loop_of_operations": "while True:\n    op.execute(\"DELETE FROM t WHERE a = 'x'\")",
    "own_engine": "with sa.create_engine('sqlite://').begin() as other:\n    other.execute(sa.text('DELETE FROM t'))",
    "engine_of_the_package": (
        "from app import db\n\nwith db.engine(op.get_bind().engine.url).begin() as other:\n"
        '    other.execute(sa.text("DELETE FROM t"))'
    ),
    "engine_of_the_connection": (
        'with op.get_bind().engine.begin() as other:\n    other.execute(sa.text("DELETE FROM t"))'
    ),
    "bind_of_the_environment": (
        "from alembic import context\n\ncontext.get_bind().execute(sa.text(\"DELETE FROM t WHERE a = 'y'\"))"
    ),
    "raw_cursor": 'op.get_bind().connection.cursor().execute("DELETE FROM t")',
    "driver": "import sqlite3\n\nsqlite3.connect('gateway.db').execute('DELETE FROM t')",
    "helper": "import reaching_around\n\nreaching_around.delete(op.get_bind())",
    "exit": "op.execute(\"DELETE FROM t WHERE a = 'y'\")\nraise SystemExit(0)",
    "commit": "op.get_bind().commit()\nop.execute(\"DELETE FROM t WHERE a = 'y'\")\nop.get_bind().commit()",
    "huge": "op.execute(\"INSERT INTO t (a) VALUES ('y')\" + \", ('y')\" * 20_000)",
    "syntax": 'op.execute("DROP TABEL t")',
    "caught": "try:\n    op.drop_table('t')\nexcept Exception:\n    op.execute(\"UPDATE seen SET n = 1 WHERE n = 0\")",
    "if_not_exists": "op.execute('CREATE TABLE IF NOT EXISTS t (a TEXT)')\nop.execute('DROP TABLE t')",
    "temporary": "op.execute('CREATE TEMPORARY TABLE t (a TEXT)')\nop.execute('DROP TABLE {public}.t')",
    "renamed": "op.rename_table('t', 'v')\nop.alter_column('v', 'a', new_column_name='c')\nop.drop_column('v', 'c')",
    "commented": "op.execute('/* DROP */ DROP -- TABLE u\\n TABLE t')",
    "quoted": "op.execute('DROP TABLE \"t\"')",
    "subquery": "op.execute('UPDATE t SET a = (SELECT min(n) FROM seen WHERE n = 0)')",
    "expression": "op.execute('WITH gone AS (SELECT n FROM seen WHERE n = 0) DELETE FROM t')",
}
HOSTILE_OF_POSTGRESQL = {
    "function": "op.get_bind().execute(sa.text('SELECT erase()'))",
    "loop_in_a_block": (
        "op.execute('DO $$ DECLARE r record; BEGIN FOR r IN DELETE FROM t RETURNING * LOOP END LOOP; END $$')"
    ),
    "block_with_execute": "op.execute(\"DO $$ BEGIN EXECUTE 'DELETE FROM t'; END $$\")",
    "two_statements": "op.execute('SELECT 1; DELETE FROM t')",
    "transaction_of_its_own": "op.execute('SELECT 1; COMMIT; BEGIN READ WRITE; DELETE FROM t; COMMIT')",
    "setting": (
        "bind = op.get_bind()\n"
        "bind.execute(sa.text(\"SELECT set_config('default_transaction_read_only', 'off', false)\"))\n"
        "bind.commit()\n"
        "bind.execute(sa.text('SELECT erase()'))\n"
        "bind.commit()"
    ),
    "returning": "op.get_bind().execute(sa.text('WITH gone AS (DELETE FROM t RETURNING a) SELECT * FROM gone')).all()",
    "prepared": "op.execute('PREPARE p AS DELETE FROM t')\nop.execute('EXECUTE p')",
}
HOSTILE_OF_SQLITE = {
    "query_only": "op.execute('PRAGMA query_only(0)')\nop.execute('DELETE FROM t')",
    "schema_table": "op.execute('PRAGMA writable_schema = ON')",
}
AROUND = "def delete(connection):\n    connection.connection.cursor().execute('DELETE FROM t')\n"
ERASE = "CREATE FUNCTION erase() RETURNS void LANGUAGE sql AS 'DELETE FROM t'"


def hostile(url: str) -> dict[str, str]:
    return HOSTILE | (HOSTILE_OF_POSTGRESQL if "postgresql" in url else HOSTILE_OF_SQLITE)


@pytest.mark.exhaustive
@pytest.mark.parametrize("url", ONE_A_DAY, indirect=True)
def test_the_preview_runs_nothing_of_a_hostile_revision(
    url: str, project: ProjectCopy, approve: Approve, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine so many statements take longer than a preview may, and the answer names the other limit.
    monkeypatch.setattr(preview, "MOST_STATEMENTS", 100)
    monkeypatch.setattr(preview, "MOST_SECONDS", 60.0)
    start(url, project, ["t", "u"], with_rows=True)
    (project.folder / "reaching_around.py").write_text(AROUND, encoding="utf-8")
    if "postgresql" in url:
        execute(url, ERASE)
    before = everything_in(url)
    told = []
    for name, body in hostile(url).items():
        first = project.add(body.replace("{public}", "public" if "postgresql" in url else "main"))
        second = project.add('op.drop_table("u")')
        caplog.clear()
        with pytest.raises(DataLossRefused) as caught:
            project.upgrade(url)
        assert everything_in(url) == before, name
        text = "\n".join([*caplog.messages, str(caught.value)])
        assert text.count(f"{second}: dropping the table u would lose 2 rows.") == 1, name
        text = text.partition(f"{second}: ")[0]
        assert text.count(first) or name == "commit", name
        told.append(f"--- {name}\n{text.replace(first, 'REVISION')}")
        for revision in (first, second):
            project.file(revision).unlink()
        project._last = FIRST
    approve(f"gate/hostile.{sa.make_url(url).get_backend_name()}.txt", "".join(told))
    assert attempts(url) == [(FIRST, "upgrade", "applied")]


def test_a_refusal_that_the_revision_catches_stops_it_all_the_same(url: str, project: ProjectCopy) -> None:
    start(url, project, ["t"], with_rows=True)
    caught = UNSEEN.format(body="try:\n        op.drop_table('t')\n    except Exception:\n        pass")
    revision = project.add(caught)
    assert refused(lambda: project.upgrade(url), url) == [
        f"{revision}: dropping the table t would lose 2 rows. [{SEEN_LATE}] ({revision}.py line N)",
        f'  If you mean it, write in {revision}.py: acknowledged = {{"drop_table t": "why, and where the data is"}}',
    ]
    assert attempts(url)[-1] == (revision, "upgrade", "failed")


NAMES_TO_QUOTE = ["Users", "a.b", 'a"b', "order", "a b", "ünïcode", "it's"]


@pytest.mark.exhaustive
def test_names_that_must_be_quoted_are_found(url: str, project: ProjectCopy) -> None:
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in NAMES_TO_QUOTE}
    start(url, project, quoted.values(), with_rows=True)
    bodies = []
    for name, written in quoted.items():
        execute(url, f"ALTER TABLE {written} ADD COLUMN {written} TEXT", f"UPDATE {written} SET {written} = 'seven'")
        bodies += bodies_for(name, written)
    revisions = [project.add(body) for body in bodies]
    lines = refused(lambda: project.upgrade(url), url, table_rows)
    assert [line.partition(": ")[0] for line in lines[::2]] == revisions
    assert [line for line in lines[::2] if " 2 rows" not in line] == []
    for revision in revisions:
        project.file(revision).unlink()
    for name in NAMES_TO_QUOTE:
        project._last = FIRST
        revision = project.add(UNSEEN.format(body=f"op.execute({f'DELETE FROM {quoted[name]}'!r})"))
        first, _ = refused(lambda: project.upgrade(url), url, table_rows)
        assert first.startswith(f"{revision}: a DELETE without a WHERE would lose 2 rows of "), name
        project.file(revision).unlink()


def bodies_for(name: str, quoted: str) -> list[str]:
    return [
        f"op.drop_table({name!r})",
        f"op.drop_column({name!r}, {name!r})",
        f"op.alter_column({name!r}, {name!r}, type_=sa.Integer(), postgresql_using='0')",
        f"op.execute(sa.text({f'DELETE FROM {quoted}'!r}))",
        f"op.execute(sa.text({f'UPDATE {quoted} SET {quoted} = 7'!r}))",
    ]


# --- what a preview leaves behind --------------------------------------------------------------------------------

MUCH = """
op.execute("CREATE TEMPORARY TABLE scratch (n INTEGER)")
op.execute("SET statement_timeout = '7s'" if op.get_bind().dialect.name == "postgresql" else "PRAGMA cache_size = 7")
with op.get_context().autocommit_block():
    op.get_bind().execute(sa.text("SELECT 1"))
with op.get_bind().begin_nested():
    op.get_bind().execute(sa.text("SELECT 1"))
op.create_table("other", sa.Column("id", sa.Integer))
op.drop_table("t")
"""
LEFT = {
    "postgresql": "SELECT name, setting FROM pg_settings WHERE source = 'session' ORDER BY name",
    "sqlite": "SELECT * FROM pragma_query_only, pragma_cache_size, pragma_foreign_keys",
}
OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
TEMPORARY = {
    "postgresql": "SELECT relname FROM pg_class WHERE relpersistence = 't'",
    "sqlite": "SELECT name FROM sqlite_temp_master",
}


def test_a_preview_leaves_no_connection_no_table_and_no_setting_behind(
    url: str, project: ProjectCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blockers, "POLL_SECONDS", 0.0)  # it looks for blockers at once, on a connection of the pool
    start(url, project, ["t"], with_rows=True)
    project.add(MUCH)
    engine = sa.create_engine(url, pool_size=3)  # whose connections are used again
    dialect = engine.dialect.name
    questions = [LEFT[dialect], TEMPORARY[dialect]]
    try:
        with engine.connect() as held, engine.connect() as given:
            before = [held.exec_driver_sql(question).all() for question in questions]
            held.rollback()
            for handed_over in (engine, given):
                made = config(url, project.ini)
                made.attributes["connection"] = handed_over
                with pytest.raises(DataLossRefused):
                    command.upgrade(made, "head")
                with engine.connect() as from_the_pool:
                    for one in (held, given, from_the_pool):
                        assert [one.exec_driver_sql(question).all() for question in questions] == before
                        one.exec_driver_sql("INSERT INTO seen VALUES (1)")
                        one.rollback()
                    if dialect == "postgresql":
                        assert isinstance(engine.pool, sa.QueuePool)
                        known = engine.pool.checkedout() + engine.pool.checkedin()
                        assert from_the_pool.exec_driver_sql(OTHERS).scalar_one() <= known
    finally:
        engine.dispose()


BACKFILL = """
from app.revision_api import Backfill

Backfill("t", ["a"], str.lower, todo="a <> lower(a)").upgrade()
"""


@pytest.mark.parametrize("memory", ["sqlite://", pytest.param("sqlite:///:memory:", marks=pytest.mark.exhaustive)])
def test_a_database_in_memory_outlives_its_preview(memory: str, project: ProjectCopy) -> None:
    engine = db.migration_engine(memory)
    made = config("sqlite://", project.ini)
    made.attributes["connection"] = engine
    project.add("op.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)')")
    command.upgrade(made, "head")
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1, 'X')")
    project.add(BACKFILL)
    command.upgrade(made, "head")
    project.add(LOOP)
    project.add('op.drop_table("t")')
    with pytest.raises(DataLossRefused):
        command.upgrade(made, "head")
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT * FROM t").all() == [(1, "x")]
        connection.exec_driver_sql("INSERT INTO t VALUES (2, 'y')")


# --- SQLite copies, enumerations, children -----------------------------------------------------------------------


def test_a_copy_that_lacks_rows_is_refused(sqlite_url: str, project: ProjectCopy) -> None:
    start(sqlite_url, project, ["t"], with_rows=True)
    copy = ["CREATE TABLE _alembic_tmp_t (a TEXT)", "INSERT INTO _alembic_tmp_t SELECT DISTINCT a FROM t"]
    copy += ["DROP TABLE t", "ALTER TABLE _alembic_tmp_t RENAME TO t"]
    project.add("\n".join(f"op.execute({statement!r})" for statement in copy))
    before = everything_in(sqlite_url)
    with pytest.raises(MigrationError) as caught:
        project.upgrade(sqlite_url)
    assert str(caught.value) == "The copy of t has not as many rows as the table: nothing was changed."
    assert everything_in(sqlite_url) == before


ENUM = """
op.execute('ALTER TYPE "{name}" RENAME TO before')
sa.Enum("glad", "it's", name="{name}").create(op.get_bind())
op.alter_column("t", "mood", type_=sa.Enum("glad", "it's", name="{name}"), postgresql_using='mood::text::"{name}"')
op.execute("DROP TYPE before")
"""


@pytest.mark.parametrize("name", ["mood", "Mood"])
def test_a_value_of_an_enumeration_goes_only_if_no_row_has_it(
    name: str, postgres_url: str, project: ProjectCopy
) -> None:
    start(postgres_url, project, ["t"], with_rows=True)
    labels = f"CREATE TYPE \"{name}\" AS ENUM ('glad', 'it''s', 'sad')"
    execute(postgres_url, labels, f'ALTER TABLE t ADD mood "{name}"', "UPDATE t SET mood = 'sad'")
    revision = project.add(ENUM.format(name=name))
    first, _ = refused(lambda: project.upgrade(postgres_url), postgres_url)
    assert "would change or refuse the values of 2 rows." in first
    execute(postgres_url, "UPDATE t SET mood = 'it''s'")
    project.upgrade(postgres_url)
    assert revision_of(postgres_url) == revision
    assert query(postgres_url, "SELECT mood::text FROM t") == [("it's",), ("it's",)]


@pytest.mark.exhaustive
def test_children_go_along_only_where_there_are_some(postgres_url: str, project: ProjectCopy) -> None:
    start(postgres_url, project, [], with_rows=False)
    execute(
        postgres_url,
        'CREATE TABLE "Parents" (id INTEGER PRIMARY KEY)',
        'CREATE TABLE "Children" (parent INTEGER REFERENCES "Parents" ON DELETE CASCADE)',
        'INSERT INTO "Parents" VALUES (1), (2)',
    )
    body = "op.execute('DELETE FROM \"Parents\" WHERE id = 1')"
    project.add(body)
    project.upgrade(postgres_url)
    execute(postgres_url, 'INSERT INTO "Children" VALUES (2)')
    for written in (body.replace("= 1", "= 2"), UNSEEN.format(body=body.replace("= 1", "= 2"))):
        revision = project.add(written)
        first, second = refused(lambda: project.upgrade(postgres_url), postgres_url)
        assert "a DELETE from Parents would take along rows that refer to it, ON DELETE CASCADE (1 row)." in first
        assert second.endswith('acknowledged = {"delete Parents": "why, and where the data is"}')
        project.file(revision).unlink()
        project._last = "20260101000001"


# --- what needs nobody's word ------------------------------------------------------------------------------------


@pytest.mark.exhaustive
def test_the_whole_history_needs_no_consent(at: At) -> None:
    url = at("20241211000000")
    sample_rows.fill(url, 0, 1, 2)
    before = sample_rows.values_in(url)
    command.upgrade(config(url), "head")
    after = sample_rows.values_in(url)
    assert sample_rows.common(after, before) == before
    with connected(url) as connection:
        assert [entry.reason for entry in Ledger(connection).entries() if entry.reason] == []


@pytest.mark.exhaustive
def test_the_tour_of_the_readme_needs_consent_only_to_drop_stored_values(head_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    project = ProjectCopy(folder)
    head = revision_of(head_url)
    revision = project.add(
        'op.add_column("service_providers", sa.Column("region", sa.String(50)))',
        'op.drop_column("service_providers", "region")',
    )
    assert project.alembic("upgrade", "head", url=head_url).returncode == 0
    assert project.alembic("downgrade", "-1", url=head_url).returncode == 0
    assert project.alembic("upgrade", "head", url=head_url).returncode == 0
    execute(
        head_url, "INSERT INTO service_providers (name, base_url, protocol, region) VALUES ('n', 'u', 'openai', 'eu')"
    )
    assert project.alembic("downgrade", "-1", url=head_url).returncode == 7
    accepts = ("-x", f"accept-data-loss={revision}")
    assert project.alembic(*accepts, "downgrade", "-1", url=head_url).returncode == 0
    assert revision_of(head_url) == head


# --- schema deploy --dry-run -------------------------------------------------------------------------------------


def dry_run(project: ProjectCopy, url: str, *options: str) -> Done:
    return schema("deploy", "--dry-run", *options, **as_command(project, url))


@pytest.mark.exhaustive
def test_a_dry_run_shows_the_same_findings(url: str, project: ProjectCopy) -> None:
    start(url, project, ["t"], with_rows=True)
    project.add('op.create_table("other", sa.Column("id", sa.Integer))')
    assert dry_run(project, url).returncode == 0
    project.add('op.drop_column("t", "a")\nop.execute("DELETE FROM t")')
    project.add("op.get_bind().execute(sa.text('SELECT * FROM other')).all()")
    before = everything_in(url)
    shown = dry_run(project, url)
    done = project.alembic("upgrade", "head", url=url)
    assert (shown.returncode, shown.stdout) == (done.returncode, done.stdout) == (7, "")
    assert shown.stderr == done.stderr
    values = json.loads(dry_run(project, url, "--json").stdout)
    message = done.stderr.partition("FAILED: ")[2].rstrip("\n")
    assert values == {"code": "data_loss", "message": message}
    assert everything_in(url) == before
    assert attempts(url) == [(FIRST, "upgrade", "applied")]


def test_a_dry_run_of_a_database_without_tables_asks_nothing(url: str, project: ProjectCopy) -> None:
    revision = project.add("op.execute('CREATE TABLE t (a TEXT)')\nop.execute('DROP TABLE t')")
    done = dry_run(project, url, "--json")
    assert (done.returncode, json.loads(done.stdout)["applied"]) == (0, [revision])


# --- a large table -----------------------------------------------------------------------------------------------


@pytest.mark.exhaustive
def test_ten_million_rows_are_refused_without_blocking_a_writer(postgres_url: str, project: ProjectCopy) -> None:
    start(postgres_url, project, [], with_rows=False)
    execute(
        postgres_url,
        "CREATE UNLOGGED TABLE large AS SELECT n AS id, n AS rare, n AS unused FROM generate_series(1, 10000000) n",
        "ALTER TABLE large ADD COLUMN empty INTEGER",
    )
    revision = project.add('op.drop_column("large", "id")\nop.drop_column("large", "empty")\nop.drop_table("large")')
    writer = Writer(postgres_url)
    with pytest.raises(DataLossRefused) as caught, writer.at_work():
        project.upgrade(postgres_url)
    lines = str(caught.value).splitlines()
    lost = "dropping the column large.id would lose its values in more than 1,000 rows."
    assert f"{revision}: {lost} ({revision}.py line 11)" in lines
    assert f"{revision}: dropping the table large would lose more than 1,000 rows. ({revision}.py line 13)" in lines
    assert writer.failure is None
    assert writer.rows > 0
    assert query(postgres_url, "SELECT count(*) FROM large") == [(10_000_000 + writer.rows,)]


class Writer:
    """Adds rows to the large table, each in a moment: who keeps it waiting for longer makes it fail."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._done = threading.Event()
        self.rows = 0
        self.failure: psycopg.Error | None = None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        thread = threading.Thread(target=self._write)
        thread.start()
        try:
            wait_until(lambda: self.rows > 0 or self.failure is not None)
            yield
        finally:
            self._done.set()
            thread.join()

    def _write(self) -> None:
        with psycopg.connect(self._url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("SET statement_timeout = '1s'")
            while not self._done.is_set():
                try:
                    connection.execute("INSERT INTO large (id) VALUES (0)")
                except psycopg.Error as error:
                    self.failure = error
                    return
                self.rows += 1
