"""Ways past the gate that somebody has found, and false alarms: the first are closed, the second stay away."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.migrations.data_loss import preview
from app.migrations.data_loss.functions import Functions
from app.migrations.data_loss.made_so_far import MadeSoFar
from app.migrations.data_loss.queries import Questions
from app.migrations.errors import DataLossRefused
from app.migrations.sql import effects
from tests.support.alembic_in_process import revision_of
from tests.support.approved_texts import Approve
from tests.support.database_access import connected, execute, query
from tests.support.ledger_rows import attempts
from tests.support.project_copy import ProjectCopy

FIRST = "20260101000000"
# Beforehand there is no database to say how many rows were updated.
UNSEEN = 'if op.get_bind().execute(sa.text("UPDATE seen SET n = n WHERE n >= 0")).rowcount == 1:\n    {body}'

START = [
    "CREATE TABLE t (a TEXT, b TEXT)",
    "INSERT INTO t VALUES ('x', NULL), ('x', NULL)",
    "CREATE TABLE spare (a TEXT, b TEXT)",
    "CREATE TABLE seen (n INTEGER)",
    "INSERT INTO seen VALUES (0)",
    "CREATE TABLE kept (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL)",
    "INSERT INTO kept VALUES (1, 'one')",
    "CREATE TABLE tree (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES tree ON DELETE CASCADE)",
    "INSERT INTO tree VALUES (1, NULL), (2, 1)",
    'CREATE TABLE "of 100%" ("a 50%" TEXT, b TEXT)',
    "INSERT INTO \"of 100%\" VALUES ('x', NULL)",
]
START_ON_POSTGRESQL = [
    "CREATE SCHEMA attic CREATE TABLE spare (a TEXT)",
    "INSERT INTO attic.spare VALUES ('of the attic')",
    "CREATE SCHEMA cellar CREATE TABLE nothing (a TEXT)",
    "CREATE TABLE events (id INTEGER, v TEXT) PARTITION BY RANGE (id)",
    "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (10)",
    "CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (10) TO (20)",
    "INSERT INTO events VALUES (1, 'one')",
    "CREATE TABLE animals (id INTEGER)",
    "CREATE TABLE dogs (name TEXT) INHERITS (animals)",
    "INSERT INTO dogs VALUES (1, 'Laika')",
    "CREATE TYPE mood AS ENUM ('glad', 'sad')",
    "CREATE DOMAIN temper AS mood",
    "CREATE TYPE pair AS (mood mood, n INTEGER)",
    "CREATE TYPE unused AS ENUM ('a')",
    "CREATE TABLE lists (moods mood[])",
    "INSERT INTO lists VALUES ('{sad}')",
    "CREATE TABLE tempers (temper temper)",
    "CREATE TABLE pairs (pair pair, unused unused)",
    "CREATE TABLE rows_of_spare (row spare)",
    "INSERT INTO rows_of_spare VALUES (ROW('a', NULL))",
    "CREATE TABLE parents (id INTEGER PRIMARY KEY)",
    "CREATE TABLE children (parent INTEGER REFERENCES parents ON DELETE CASCADE)",
    "INSERT INTO parents VALUES (1)",
    "INSERT INTO children VALUES (NULL)",
    "CREATE FUNCTION erase() RETURNS integer LANGUAGE plpgsql AS 'BEGIN DELETE FROM t; RETURN 1; END'",
    "CREATE FUNCTION erase_twice() RETURNS void LANGUAGE sql AS 'SELECT erase()'",
    "CREATE FUNCTION louder(a text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN upper(a); END'",
    "CREATE FUNCTION build() RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE ''SELECT 1''; END'",
]


def run(*statements: str) -> str:
    """The body of a revision that executes these."""
    return "\n".join(f"op.execute({statement!r})" for statement in statements)


def in_autocommit(*statements: str) -> str:
    return "with op.get_context().autocommit_block():\n    " + run(*statements).replace("\n", "\n    ")


LOSSY = {
    "where_true": "op.get_bind().execute(sa.delete(sa.table('t')).where(sa.true()))",
    "where_1_equals_1": run("DELETE FROM t WHERE (1 = 1)"),
    "where_a_value": "op.get_bind().execute(sa.text('DELETE FROM t WHERE :yes'), {'yes': True})",
    "update_where_true": run("UPDATE t SET a = NULL WHERE 'a' = 'a'"),
    "renamed_column_then_table": run(
        "ALTER TABLE t RENAME a TO c", "ALTER TABLE t RENAME TO v", "ALTER TABLE v DROP COLUMN c"
    ),
    "swapped": run(
        "ALTER TABLE t RENAME TO v",
        "ALTER TABLE spare RENAME TO t",
        "ALTER TABLE v RENAME TO spare",
        "DROP TABLE spare",
    ),
    "named_with_percent": "op.drop_table('of 100%')",
    "under_a_comment_like_ours": run("/* type change */ ALTER TABLE t DROP COLUMN a"),
    "announced_as_another_change": run(
        "/* type change: ALTER TABLE t ALTER COLUMN a TYPE text */ ALTER TABLE t DROP COLUMN a"
    ),
    "column_named_with_percent": "op.drop_column('of 100%', 'a 50%')",
    "hidden_by_a_temporary_table": run("CREATE TEMPORARY TABLE t (a TEXT)", "DROP TABLE t", "DROP TABLE t"),
    "another_after_a_rollback": (
        "with op.get_bind().begin_nested() as nested:\n"
        "    op.execute('CREATE TABLE v (a TEXT)')\n    nested.rollback()\nop.drop_table('t')"
    ),
    "connection_of_the_driver": "bind = op.get_bind()\nbind.connection.execute('DELETE FROM t')",
    "computed_name": "getattr(op.get_bind(), 'connec' + 'tion').execute('DELETE FROM t')",
    "helper_of_a_helper": "import one_helper\n\none_helper.go(op.get_bind())",
    "thread": (
        "import threading\n\ndef go(engine):\n    with engine.begin() as other:\n"
        "        other.execute(sa.text('DELETE FROM t'))\n\n"
        "thread = threading.Thread(target=go, args=[op.get_bind().engine])\nthread.start()\nthread.join()"
    ),
    "operation_of_its_own": "from alembic.operations import ops\n\nop.invoke(ops.DropTableOp('t'))",
    "implementation": "op.get_context().impl.drop_table(sa.Table('t', sa.MetaData()))",
    "session": "from sqlalchemy.orm import Session\n\nSession(op.get_bind()).execute(sa.text('DELETE FROM t'))",
}
LOSSY_OF_POSTGRESQL = {
    "several_tables": run("DROP TABLE spare, t"),
    "several_truncated": run("TRUNCATE spare, t"),
    "several_commands": run("ALTER TABLE t ADD c integer, DROP b, DROP COLUMN IF EXISTS a CASCADE"),
    "odd_spelling": run('/**/DrOp--\nTaBlE"t"CASCADE'),
    "escaped_name": run(r'DROP TABLE U&"\0074"'),
    "partition": run("ALTER TABLE events DETACH PARTITION events_1", "DROP TABLE events_1"),
    "partition_alone": run("DROP TABLE events_1"),
    "emptied_partition": run("TRUNCATE events_1"),
    "detached": run("ALTER TABLE events DETACH PARTITION events_1"),
    "detached_in_a_schema": run("ALTER TABLE public.events DETACH PARTITION public.events_1"),
    "no_child_any_more": run("ALTER TABLE dogs NO INHERIT animals"),
    "partitioned": run("DROP TABLE events"),
    "inherited": run("DROP TABLE animals CASCADE"),
    "moved_to_a_schema": run("ALTER TABLE t SET SCHEMA cellar", "DROP TABLE cellar.t"),
    "renamed_schema": run("ALTER SCHEMA attic RENAME TO loft", "DROP TABLE loft.spare"),
    "dropped_schema": run("DROP SCHEMA attic CASCADE"),
    "search_path": run("SET search_path TO attic", "DROP TABLE spare"),
    "search_path_by_a_function": run("SELECT set_config('search_path', 'attic', true)", "DROP TABLE spare"),
    "search_path_there_and_back": run(
        "SET search_path TO cellar", "CREATE TABLE t (a TEXT)", "SET search_path TO public", "DROP TABLE t"
    ),
    "hidden_and_named": run("CREATE TEMPORARY TABLE t (a TEXT)", "DROP TABLE public.t"),
    "name_of_a_copy": run("CREATE TABLE _alembic_tmp_t (a TEXT)", "DROP TABLE t"),
    "type_of_an_array": run("DROP TYPE mood CASCADE"),
    "type_of_a_row": run("DROP TABLE spare CASCADE"),
    "value_of_an_enumeration": run("DELETE FROM pg_enum WHERE enumlabel = 'sad'"),
    "branches_of_a_tree": run("DELETE FROM tree WHERE id = 1"),
    "function": "op.get_bind().execute(sa.text('SELECT erase()'))",
    "function_of_a_function": run("DO $$ BEGIN PERFORM erase_twice(); END $$"),
    "function_in_an_expression": run("DO $$ DECLARE n integer; BEGIN n := erase(); END $$"),
    "function_in_an_insert": run("INSERT INTO seen SELECT erase()"),
    "function_of_the_same_run": run(
        "CREATE FUNCTION forget() RETURNS void LANGUAGE sql AS 'DELETE FROM t'", "SELECT 1; SELECT forget()"
    ),
    "function_that_puts_sql_together": run("SELECT build()"),
    "function_that_changes_nothing": run("UPDATE spare SET a = louder(b)"),
    "function_of_postgresql": run("SELECT query_to_xml('DELETE FROM t', true, true, '')"),
    "trigger": run(
        "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM t; RETURN NULL; END'",
        "CREATE TRIGGER forget AFTER INSERT ON seen EXECUTE FUNCTION forget()",
        "INSERT INTO seen VALUES (1)",
    ),
    "trigger_that_sets_off_another": run(
        "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM t; RETURN NULL; END'",
        "CREATE FUNCTION pass_on() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO seen VALUES (1); RETURN NULL; END'",
        "CREATE TRIGGER forget AFTER INSERT ON seen EXECUTE FUNCTION forget()",
        "CREATE TRIGGER pass_on AFTER INSERT ON spare EXECUTE FUNCTION pass_on()",
        "INSERT INTO spare VALUES ('a')",
    ),
    "trigger_that_calls_a_function": run(
        "CREATE FUNCTION call() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM erase(); RETURN NULL; END'",
        "CREATE TRIGGER call AFTER INSERT ON seen EXECUTE FUNCTION call()",
        "INSERT INTO seen VALUES (1)",
    ),
    "made_again_after_a_savepoint": run(
        "SAVEPOINT s", "CREATE TABLE v (a TEXT)", "ROLLBACK TO s", "ALTER TABLE t RENAME TO v", "DROP TABLE v"
    ),
}
COPY = "sa.Table('t', sa.MetaData(), sa.Column('b', sa.Text()))"
RETYPED = "sa.Table('t', sa.MetaData(), sa.Column('a', sa.Integer()), sa.Column('b', sa.Text()))"
LOSSY_OF_SQLITE = {
    "odd_spelling": run("/**/DrOp--\nTaBlE/**/[T]"),
    "another_case": run("ALTER TABLE t RENAME TO V", "DROP TABLE v"),
    "hidden_and_named": run("CREATE TEMPORARY TABLE t (a TEXT)", "DELETE FROM main.t"),
    "copy_without_a_column": f"with op.batch_alter_table('t', recreate='always', copy_from={COPY}):\n    pass",
    "copy_with_another_type": f"with op.batch_alter_table('t', recreate='always', copy_from={RETYPED}):\n    pass",
    "copy_by_hand": run(
        "CREATE TABLE _alembic_tmp_t (b TEXT)",
        "INSERT INTO _alembic_tmp_t SELECT b FROM t",
        "DROP TABLE t",
        "ALTER TABLE _alembic_tmp_t RENAME TO t",
    ),
    "attached": run("ATTACH 'other.db' AS other"),
    "trigger": run(
        "CREATE TRIGGER forget AFTER INSERT ON seen BEGIN DELETE FROM t; END", "INSERT INTO seen VALUES (1)"
    ),
}
# What only goes wrong where there is no transaction.
OUTSIDE = {
    "postgresql": in_autocommit("CREATE TEMPORARY TABLE t (a TEXT) ON COMMIT DROP", "DROP TABLE t"),
    "sqlite": in_autocommit("PRAGMA foreign_keys = ON", "DELETE FROM tree WHERE id = 1"),
}
# What can't be seen while it runs either: these are refused because they were found beforehand.
ONLY_BEFOREHAND = {"connection_of_the_driver", "computed_name", "helper_of_a_helper", "thread"}
HELPERS = {
    "one_helper": "import other_helper\n\n\ndef go(bind):\n    other_helper.go(bind)\n",
    "other_helper": "def go(bind):\n    bind.connection.cursor().execute('DELETE FROM t')\n",
}

HARMLESS = {
    "where": run("DELETE FROM t WHERE (a = 'nobody')", "DELETE FROM t WHERE \"a\" = 'nobody'"),
    "scratch": run("CREATE TEMPORARY TABLE scratch AS SELECT * FROM t", "DELETE FROM scratch", "DROP TABLE scratch"),
    "table_of_its_own": run("CREATE TABLE made AS SELECT * FROM t", "UPDATE made SET a = NULL", "DROP TABLE made"),
    "column_made_again": (
        "op.drop_column('t', 'b')\nop.add_column('t', sa.Column('b', sa.Text()))\nop.execute('UPDATE t SET b = NULL')"
    ),
    "column_of_another_revision": "op.add_column('kept', sa.Column('flag', sa.Text(), server_default='no'))",
    "and_its_end": "op.drop_column('kept', 'flag')",
    "explained": run("EXPLAIN DELETE FROM t"),
    "swapped": run("ALTER TABLE seen RENAME TO v", "ALTER TABLE spare RENAME TO seen", "ALTER TABLE v RENAME TO spare"),
    "and_its_emptiness": run("DELETE FROM seen"),
    "and_back": run(
        "ALTER TABLE spare RENAME TO v", "ALTER TABLE seen RENAME TO spare", "ALTER TABLE v RENAME TO seen"
    ),
    "new_column_under_the_old_name": (
        "op.alter_column('kept', 'name', new_column_name='old')\nop.add_column('kept', sa.Column('name', sa.Text()))\n"
        "op.execute('UPDATE kept SET name = old')"
    ),
}
HARMLESS_OF_POSTGRESQL = {
    "only_the_parent": run("DELETE FROM ONLY animals", "TRUNCATE ONLY animals"),
    "empty_partition": run("ALTER TABLE events DETACH PARTITION events_2", "DROP TABLE events_2"),
    "selected_into": run("SELECT * INTO chosen FROM t", "DROP TABLE chosen"),
    "there_already": run("ALTER TABLE dogs ADD COLUMN IF NOT EXISTS name text NOT NULL"),
    "type_of_an_empty_column": run("DROP TYPE unused CASCADE"),
    "schema_with_an_empty_table": run("DROP SCHEMA cellar CASCADE"),
    "children_of_nobody": run("DELETE FROM parents WHERE id = 1"),
    "function_that_is_only_made": run("CREATE FUNCTION g() RETURNS void BEGIN ATOMIC DELETE FROM t; END"),
    "dropped_code": run("DROP FUNCTION build() CASCADE"),
}
HARMLESS_OF_SQLITE = {
    "another_case": run("CREATE TABLE Made (a)", "INSERT INTO made VALUES (1)", "DROP TABLE MADE"),
    "copied_and_renamed": (
        "with op.batch_alter_table('t', recreate='always') as batch:\n    batch.alter_column('a', new_column_name='c')"
    ),
    "trigger_that_is_only_made": run("CREATE TRIGGER forget AFTER INSERT ON spare BEGIN DELETE FROM kept; END"),
}


@pytest.fixture
def project(url: str, tmp_path: Path) -> ProjectCopy:
    """A project whose database has a first revision, and some tables that Alembic doesn't know."""
    folder = tmp_path / "project"
    folder.mkdir()
    made = ProjectCopy(folder, revisions=False)
    for name, code in HELPERS.items():
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    made.add("pass")
    made.upgrade(url)
    execute(url, *START, *(START_ON_POSTGRESQL if "postgresql" in url else []))
    return made


def lossy(url: str) -> dict[str, str]:
    return LOSSY | (LOSSY_OF_POSTGRESQL if "postgresql" in url else LOSSY_OF_SQLITE)


def rows_in(url: str) -> list[str]:
    """Every row of every table, but for the books."""
    with connected(url) as connection:
        schemas = ["public", "attic", "cellar"] if "postgresql" in url else [None]
        tables = [(s, t) for s in schemas for t in sorted(sa.inspect(connection).get_table_names(schema=s))]
        ours = [sa.table(t, schema=s) for s, t in tables if t not in ("alembic_version", "schema_ledger")]
        return sorted(
            f"{t.name}: {r}" for t in ours for r in connection.execute(sa.select(sa.text("*")).select_from(t))
        )


@pytest.mark.exhaustive
def test_each_is_refused_and_not_a_row_is_lost(url: str, project: ProjectCopy, approve: Approve) -> None:
    before = rows_in(url)
    told = []
    for name, body in lossy(url).items():
        revision = project.add(body)
        with pytest.raises(DataLossRefused) as caught:
            project.upgrade(url)
        told.append(f"--- {name}\n{caught.value}\n".replace(revision, "REVISION"))
        project.file(revision).unlink()
        project._last = FIRST
    approve(f"gate/evasions.{sa.make_url(url).get_backend_name()}.txt", "".join(told))
    assert rows_in(url) == before
    assert revision_of(url) == FIRST


LATE = {
    "postgresql": (LOSSY_OF_POSTGRESQL["trigger"], "delete t", "seen", ["(0,)", "(1,)"]),
    "sqlite": (
        UNSEEN.format(body=LOSSY_OF_SQLITE["copy_without_a_column"].replace("\n", "\n    ")),
        "drop_column t.a",
        "t",
        ["(None,)", "(None,)"],
    ),
}


def test_consent_to_what_is_seen_late_is_consent(
    url: str, project: ProjectCopy, caplog: pytest.LogCaptureFixture
) -> None:
    body, consent, table, expected = LATE[sa.make_url(url).get_backend_name()]
    revision = project.add(body, acknowledged={consent: "nobody misses it"})
    project.upgrade(url)
    assert revision_of(url) == revision
    assert sorted(str(row) for row in query(url, f"SELECT * FROM {table}")) == expected
    assert (
        f"{revision}: acknowledged speaks of {consent!r}, which wasn't seen beforehand; "
        "if the revision does no such thing, it will be rolled back"
    ) in caplog.messages


@pytest.mark.exhaustive
def test_each_evasion_is_stopped_while_it_runs(url: str, project: ProjectCopy) -> None:
    before = rows_in(url)
    for name, body in lossy(url).items():
        if name in ONLY_BEFOREHAND:
            continue
        revision = project.add(UNSEEN.format(body=body.replace("\n", "\n    ")))
        with pytest.raises(DataLossRefused):
            project.upgrade(url)
        assert rows_in(url) == before, name
        project.file(revision).unlink()
        project._last = FIRST
    assert {outcome for _, _, outcome in attempts(url)[1:]} == {"failed"}


def test_a_loss_outside_a_transaction_is_refused_when_it_is_seen(url: str, project: ProjectCopy) -> None:
    before = rows_in(url)
    project.add(UNSEEN.format(body=OUTSIDE[sa.make_url(url).get_backend_name()].replace("\n", "\n    ")))
    with pytest.raises(DataLossRefused, match="outside a transaction; what it had done until then stays"):
        project.upgrade(url)
    assert rows_in(url) == before


def test_another_connection_is_refused_while_a_revision_runs(postgres_url: str, tmp_path: Path) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    project.add("op.execute('CREATE TABLE t (a TEXT)')\nop.execute('CREATE TABLE seen AS SELECT 0 AS n')")
    project.upgrade(postgres_url)
    execute(postgres_url, "INSERT INTO t VALUES ('x')")
    body = "with op.get_bind().engine.begin() as other:\n        other.execute(sa.text('DELETE FROM t'))"
    project.add(UNSEEN.format(body=body))
    with pytest.raises(DataLossRefused, match="a connection of its own can't be looked into"):
        project.upgrade(postgres_url)
    assert query(postgres_url, "SELECT * FROM t") == [("x",)]


@pytest.mark.exhaustive
def test_harmless_statements_are_neither_refused_nor_doubted(
    url: str, project: ProjectCopy, caplog: pytest.LogCaptureFixture
) -> None:
    bodies = HARMLESS | (HARMLESS_OF_POSTGRESQL if "postgresql" in url else HARMLESS_OF_SQLITE)
    last = [project.add(body) for body in bodies.values()][-1]
    project.upgrade(url)
    assert revision_of(url) == last
    assert [message for message in caplog.messages if "can't tell" in message or "not looked at" in message] == []


def test_rows_that_are_inserted_are_not_counted_as_statements(
    url: str, project: ProjectCopy, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "MOST_STATEMENTS", 3)
    project.add("op.bulk_insert(sa.table('seen', sa.column('n', sa.Integer)), [{'n': n} for n in range(5)])")
    project.upgrade(url)
    assert [message for message in caplog.messages if "not looked at" in message] == []


@pytest.mark.exhaustive
def test_a_table_is_the_one_that_its_schema_says(postgres_url: str, tmp_path: Path) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    name = sa.make_url(postgres_url).database
    execute(postgres_url, "CREATE SCHEMA first", f"ALTER DATABASE {name} SET search_path = first, public")
    project.add("op.execute('CREATE TABLE t (a TEXT)')\nop.execute('CREATE TABLE seen AS SELECT 0 AS n')")
    project.upgrade(postgres_url)
    execute(postgres_url, "CREATE TABLE public.t (a TEXT)", "INSERT INTO public.t VALUES ('x')")
    execute(postgres_url, "CREATE TABLE public.v (a TEXT)", "INSERT INTO public.v VALUES ('x')")
    for body in (run("DROP TABLE public.t"), run("CREATE TABLE v (a TEXT)", "DROP TABLE public.v")):
        for written in (body, UNSEEN.format(body=body.replace("\n", "\n    "))):
            revision = project.add(written)
            with pytest.raises(DataLossRefused, match="would lose 1 row"):
                project.upgrade(postgres_url)
            project.file(revision).unlink()
            project._last = FIRST


def test_rows_that_a_policy_hides_are_rows(postgres_url: str, tmp_path: Path) -> None:
    made = sa.make_url(postgres_url)
    keeper = f"keeper_of_{made.database}"
    execute(postgres_url, f"CREATE ROLE {keeper} LOGIN", f"GRANT ALL ON SCHEMA public TO {keeper}")
    url = made.set(username=keeper).render_as_string(hide_password=False)
    project = ProjectCopy(tmp_path, revisions=False)
    project.add("op.execute('CREATE TABLE t (a TEXT)')")
    project.upgrade(url)
    execute(
        url, "INSERT INTO t VALUES ('x')", *(f"ALTER TABLE t {word} ROW LEVEL SECURITY" for word in ("ENABLE", "FORCE"))
    )
    assert query(url, "SELECT * FROM t") == []
    project.add("op.drop_table('t')")
    with pytest.raises(DataLossRefused, match="an unknown number of rows"):
        project.upgrade(url)
    assert query(postgres_url, "SELECT * FROM t") == [("x",)]


def test_a_server_that_does_not_answer_in_time_is_reported(postgres_url: str) -> None:
    with connected(postgres_url) as connection:
        functions = Functions(Questions(connection, together=0))
        made = MadeSoFar(live=True)
        told = [
            [*functions.follow(effect, made)][1:]
            for effect in (effects.Call("erase"), effects.Fill("t", where="line 3"))
        ]
    assert [[effect.name() for effect in followed] for followed in told] == [
        ["opaque what call erase sets off, which the server didn't tell in time"],
        ["opaque what fill t sets off, which the server didn't tell in time"],
    ]
    assert told[1][0].where == "line 3"


@pytest.mark.parametrize(
    ("body", "together"),
    [("pg_sleep(9)::text::name", 0.3), ("(1/0)::text::name", 9), ("'public'::name", 0)],
    ids=["slow", "an error", "no time left"],
)
def test_a_search_path_that_the_server_does_not_tell_is_unknown(postgres_url: str, body: str, together: float) -> None:
    function = "FUNCTION public.current_schema() RETURNS name LANGUAGE sql AS"
    execute(postgres_url, f"CREATE {function} $$ SELECT {body} $$")
    with connected(postgres_url) as connection:
        connection.exec_driver_sql("SET search_path = public, pg_catalog")
        assert Questions(connection, together).home() is None
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1  # the transaction goes on


@pytest.mark.parametrize("rows", [0, 1])
def test_without_a_search_path_rows_are_looked_for_all_the_same(url: str, rows: int, tmp_path: Path) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    project.add("op.execute('CREATE TABLE t (a TEXT)')")
    project.upgrade(url)
    execute(url, *["INSERT INTO t VALUES ('x')"] * rows)
    project.add("op.create_table('made', sa.Column('n', sa.Integer))\nop.drop_table('made')\nop.drop_table('t')")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(DataLossRefused) if rows else nullcontext():
        patch.setattr(Questions, "home", lambda _: None)
        project.upgrade(url)
    with connected(url) as connection:
        assert sa.inspect(connection).has_table("t") is bool(rows)
