"""SQLite alters a table by copying it: nothing is lost on the way, or the revision is refused and nothing changed."""

import sqlite3
from collections.abc import Callable

import pytest
from alembic import command
from alembic.util import CommandError

from app import database_url, db
from tests.support.alembic_in_process import History, config, revision_of
from tests.support.database_access import connected, execute, query, run_script

# SQLAlchemy says that it doesn't see it; the guard does.
pytestmark = pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")

TABLES = """
CREATE TABLE parents (
    id INTEGER NOT NULL,
    code VARCHAR(10) NOT NULL,
    parent_id INTEGER,
    CONSTRAINT parents_pkey PRIMARY KEY (id),
    CONSTRAINT parents_code_key UNIQUE (code),
    CONSTRAINT parents_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES parents (id) ON DELETE CASCADE
);
CREATE TABLE children (
    id INTEGER NOT NULL,
    parent_id INTEGER NOT NULL,
    CONSTRAINT children_pkey PRIMARY KEY (id),
    CONSTRAINT children_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES parents (id) ON DELETE CASCADE
);
CREATE TABLE log (text TEXT);
"""
AROUND = """
CREATE TRIGGER parents_log AFTER UPDATE ON parents BEGIN INSERT INTO log VALUES ('changed; ' || NEW.code); END;
CREATE TRIGGER parents_guard BEFORE DELETE ON parents WHEN OLD.code = 'one' BEGIN SELECT RAISE(ABORT, 'no'); END;
CREATE TRIGGER children_log AFTER INSERT ON children
    BEGIN INSERT INTO log SELECT 'child of ' || code FROM parents WHERE id = NEW.parent_id; END;
CREATE VIEW codes AS SELECT id, upper(code) AS code FROM parents;
CREATE VIEW codes_of_children AS SELECT c.id, p.code FROM children c JOIN codes p ON p.id = c.parent_id;
CREATE TRIGGER codes_insert INSTEAD OF INSERT ON codes BEGIN INSERT INTO parents (code) VALUES (NEW.code); END;
CREATE INDEX parents_lower_idx ON parents (lower(code));
CREATE INDEX parents_partial_idx ON parents (code) WHERE parent_id IS NOT NULL;
CREATE UNIQUE INDEX parents_nocase_idx ON parents (code COLLATE NOCASE);
CREATE INDEX parents_newest_idx ON parents (id DESC, code);
CREATE INDEX parents_plain_idx ON parents (parent_id);
"""
ROWS = """
INSERT INTO parents VALUES (1, 'one', NULL), (2, 'two', 1), (3, 'ünï''', 2);
INSERT INTO children VALUES (10, 1), (11, 1), (12, 3);
DELETE FROM log;
"""
THINGS = "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT{})"
CHANGE = 'alter_column({}"{}", existing_type=sa.String(10), type_=sa.Text())'
Rebuild = Callable[..., str]
SCHEMA = """
SELECT type, name, tbl_name, sql FROM sqlite_master WHERE tbl_name NOT IN ('alembic_version', 'schema_ledger')
"""


def plain(table: str = "parents", column: str = "code") -> str:
    return "op." + CHANGE.format(f'"{table}", ', column)


def batch(table: str = "parents", column: str = "code") -> str:
    change = "batch." + CHANGE.format("", column)
    return f'with op.batch_alter_table("{table}", recreate="always") as batch:\n    {change}'


by_plain_operation_and_by_batch = pytest.mark.parametrize("rebuild", [plain, batch])


@pytest.fixture
def url(sqlite_url: str) -> str:
    """A SQLite database with the tables, all that can hang on a table, and rows."""
    run_script(sqlite_url, TABLES + AROUND + ROWS)
    return sqlite_url


def around(url: str) -> dict[object, object]:
    """What hangs on the tables, by name, as it was written."""
    return {name: sql for kind, name, _, sql in query(url, SCHEMA) if kind != "table" and sql}


def contents(url: str) -> list[list[tuple[object, ...]]]:
    questions = ("parents", "children", "codes", "codes_of_children", "log")
    return [query(url, f"SELECT * FROM {table} ORDER BY 1") for table in questions]


def type_of_code(url: str) -> object:
    return query(url, "SELECT type FROM pragma_table_info('parents') WHERE name = 'code'")[0][0]


# --- nothing is lost ----------------------------------------------------------


@by_plain_operation_and_by_batch
def test_a_copied_table_keeps_its_rows_and_all_that_hangs_on_it(rebuild: Rebuild, history: History, url: str) -> None:
    before = around(url), contents(url)
    history.add(rebuild())
    history.upgrade(url)
    assert type_of_code(url) == "TEXT"
    assert (around(url), contents(url)) == before


@by_plain_operation_and_by_batch
def test_triggers_views_and_indexes_of_a_copied_table_still_work(rebuild: Rebuild, history: History, url: str) -> None:
    history.add(rebuild())
    history.upgrade(url)
    execute(url, "UPDATE parents SET code = 'TWO' WHERE id = 2", "INSERT INTO children VALUES (13, 2)")
    assert query(url, "SELECT text FROM log") == [("changed; TWO",), ("child of TWO",)]
    execute(url, "INSERT INTO codes (code) VALUES ('four')")
    assert query(url, "SELECT id, code FROM codes WHERE id = 4") == [(4, "FOUR")]
    with pytest.raises(Exception, match="UNIQUE constraint failed"):
        execute(url, "INSERT INTO parents (code) VALUES ('tWo')")


@by_plain_operation_and_by_batch
def test_children_survive_where_foreign_keys_are_enforced(rebuild: Rebuild, history: History, url: str) -> None:
    before = contents(url)
    history.add(rebuild())
    with db.engine(url).connect() as connection:
        handed_over = config(url, history.ini)
        handed_over.attributes["connection"] = connection
        command.upgrade(handed_over, "head")
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    assert type_of_code(url) == "TEXT"
    assert contents(url) == before


@by_plain_operation_and_by_batch
def test_two_copies_in_one_revision_lose_nothing_either(rebuild: Rebuild, history: History, url: str) -> None:
    before = around(url), contents(url)
    other = 'op.alter_column("children", "parent_id", existing_type=sa.Integer(), nullable=True)'
    history.add(f"{rebuild()}\n{other}\n{rebuild()}")
    history.upgrade(url)
    assert (around(url), contents(url)) == before


@pytest.mark.parametrize("made_first", [1, 2])
def test_tables_whose_long_names_begin_alike_are_told_apart(made_first: int, history: History, sqlite_url: str) -> None:
    names = [f"a_name_that_is_a_good_deal_longer_than_any_other_{n}" for n in (1, 2)]
    for name in names if made_first == 1 else names[::-1]:
        create = f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, a TEXT)"
        trigger = f"CREATE TRIGGER {name}_t AFTER UPDATE ON {name} BEGIN DELETE FROM {name}; END"
        execute(sqlite_url, create, f"INSERT INTO {name} VALUES (1, 2)", trigger)
    triggers = around(sqlite_url)
    history.add("\n".join(f'op.alter_column("{name}", "a", existing_type=sa.Text(), nullable=False)' for name in names))
    history.upgrade(sqlite_url)
    assert around(sqlite_url) == triggers
    assert [query(sqlite_url, f"SELECT * FROM {name}") for name in names] == [[(1, "2")]] * 2


@pytest.mark.parametrize("name", ["my-table", "My Table", "Größe", "order"])
def test_a_table_may_have_any_name(name: str, history: History, sqlite_url: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    execute(
        sqlite_url,
        f'CREATE TABLE {quoted} (id INTEGER PRIMARY KEY, "a-b" INTEGER)',
        f"CREATE TABLE child (id INTEGER REFERENCES {quoted} (id) ON DELETE CASCADE)",
        f"CREATE TRIGGER t AFTER UPDATE ON {quoted} BEGIN SELECT 1; END",
        f"CREATE VIEW v AS SELECT * FROM {quoted}",
        f"INSERT INTO {quoted} VALUES (1, 2), (3, 4)",
        "INSERT INTO child VALUES (1), (3)",
    )
    hanging = around(sqlite_url)
    history.add(f"op.alter_column({name!r}, 'a-b', existing_type=sa.Integer(), nullable=False)")
    history.upgrade(sqlite_url)
    assert around(sqlite_url) == hanging
    assert query(sqlite_url, "SELECT * FROM v ORDER BY 1") == [(1, 2), (3, 4)]
    assert query(sqlite_url, "SELECT count(*) FROM child") == [(2,)]


@by_plain_operation_and_by_batch
@pytest.mark.parametrize("option", ["STRICT", "WITHOUT ROWID"])
def test_a_copied_table_keeps_its_options(option: str, rebuild: Rebuild, history: History, sqlite_url: str) -> None:
    run_script(sqlite_url, f"{THINGS.format('')} {option}; INSERT INTO things VALUES (1, 'one')")
    history.add(rebuild("things", "name"))
    history.upgrade(sqlite_url)
    [(sql,)] = query(sqlite_url, "SELECT sql FROM sqlite_master WHERE name = 'things'")
    assert str(sql).rstrip().endswith(option)
    assert query(sqlite_url, "SELECT * FROM things") == [(1, "one")]


def test_an_index_goes_with_the_column_that_the_revision_drops(history: History, url: str) -> None:
    history.add(
        'op.drop_index("parents_partial_idx", "parents")\nop.drop_column("parents", "parent_id")',
        acknowledged={"drop_column parents.parent_id": "not what this test is about"},
    )
    gone = {"parents_partial_idx", "parents_plain_idx"}
    before = {name: sql for name, sql in around(url).items() if name not in gone}
    history.upgrade(url)
    assert around(url) == before


def test_a_child_may_be_dropped_in_the_revision_that_copies_its_parent(history: History, url: str) -> None:
    history.add(
        f'{plain()}\nop.execute("DROP VIEW codes_of_children")\nop.drop_table("children")',
        acknowledged={"drop_table children": "not what this test is about"},
    )
    history.upgrade(url)
    assert not query(url, "SELECT 1 FROM sqlite_master WHERE name = 'children'")
    assert type_of_code(url) == "TEXT"


@pytest.mark.exhaustive
def test_violations_from_before_do_not_stop_a_revision(history: History, url: str) -> None:
    run_script(url, "PRAGMA foreign_keys = OFF; INSERT INTO children VALUES (99, 99)")
    history.add(plain())
    history.upgrade(url)
    assert type_of_code(url) == "TEXT"
    assert (99, 99) in query(url, "SELECT * FROM children")


def test_a_copy_that_a_dead_run_left_behind_is_dropped(history: History, url: str) -> None:
    run_script(url, "CREATE TABLE _alembic_tmp_parents (id INTEGER); INSERT INTO _alembic_tmp_parents VALUES (7)")
    before = contents(url)
    history.add(plain())
    history.upgrade(url)
    assert contents(url) == before
    assert not query(url, "SELECT 1 FROM sqlite_master WHERE name LIKE '_alembic_tmp_%'")


# --- or refused ---------------------------------------------------------------


def refused(history: History, url: str) -> str:
    """Upgrades, which must fail with one line and leave the database as it was; returns the line."""
    before = sorted(map(str, query(url, SCHEMA))), dump(url), revision_of(url)
    with pytest.raises(CommandError) as refusal:
        history.upgrade(url)
    assert (sorted(map(str, query(url, SCHEMA))), dump(url), revision_of(url)) == before
    message = str(refusal.value)
    assert "\n" not in message
    return message


def dump(url: str) -> list[str]:
    with sqlite3.connect(database_url.parse(url).database or "") as connection:
        lines = list(connection.iterdump())
    connection.close()
    return [line for line in lines if "alembic_version" not in line and "schema_ledger" not in line]


UNSEEN = {
    "AUTOINCREMENT": THINGS.replace("KEY", "KEY AUTOINCREMENT").format(""),
    "COLLATE": THINGS.format(" DEFAULT '--' COLLATE NOCASE"),
    "ON CONFLICT": THINGS.format(", CONSTRAINT name_key UNIQUE (name) ON CONFLICT REPLACE"),
}


@by_plain_operation_and_by_batch
@pytest.mark.parametrize("lost", UNSEEN)
def test_a_copy_that_would_lose_what_alembic_does_not_see_is_refused(
    lost: str, rebuild: Rebuild, history: History, sqlite_url: str
) -> None:
    execute(sqlite_url, UNSEEN[lost], "INSERT INTO things (id, name) VALUES (1, NULL)")
    history.add(rebuild("things", "name"))
    assert f"Copying the table things would lose {lost}," in refused(history, sqlite_url)


def test_a_column_is_dropped_with_its_collation(history: History, sqlite_url: str) -> None:
    execute(sqlite_url, THINGS.format(", c TEXT COLLATE NOCASE"))
    history.add('op.drop_column("things", "c")')
    history.upgrade(sqlite_url)
    assert "COLLATE" not in "".join(dump(sqlite_url))


def test_a_constraint_that_a_copy_lacks_is_no_dropped_column(history: History, sqlite_url: str) -> None:
    execute(sqlite_url, UNSEEN["ON CONFLICT"])
    copy = THINGS.format("").replace("things", "_alembic_tmp_things", 1)
    history.add("\n".join(f"op.execute({text!r})" for text in (copy, "DROP TABLE things")))
    assert "Copying the table things would lose ON CONFLICT," in refused(history, sqlite_url)


@by_plain_operation_and_by_batch
@pytest.mark.parametrize(
    "kept", ["half INTEGER AS (id / 2)", "half INTEGER AS (id / 2) STORED", "c TEXT COLLATE NOCASE"]
)
def test_a_copy_keeps_generated_columns_and_collations(
    kept: str, rebuild: Rebuild, history: History, sqlite_url: str
) -> None:
    execute(
        sqlite_url, THINGS.format(f", {kept}, more TEXT"), "INSERT INTO things (id, name, more) VALUES (4, '', 'm')"
    )
    before = query(sqlite_url, "SELECT * FROM things")
    described = query(sqlite_url, "SELECT name, type, hidden FROM pragma_table_xinfo('things')")
    history.add(rebuild("things", "name"))
    history.upgrade(sqlite_url)
    assert query(sqlite_url, "SELECT * FROM things") == before
    changed = [("name", "TEXT", 0) if row[0] == "name" else row for row in described]
    assert query(sqlite_url, "SELECT name, type, hidden FROM pragma_table_xinfo('things')") == changed
    statement = str(query(sqlite_url, "SELECT sql FROM sqlite_master WHERE name = 'things'"))
    assert ("COLLATE" in statement) == ("COLLATE" in kept)


@by_plain_operation_and_by_batch
@pytest.mark.parametrize("lost", UNSEEN)
def test_no_script_is_written_that_would_lose_what_alembic_does_not_see(
    lost: str, rebuild: Rebuild, history: History, sqlite_url: str
) -> None:
    start = history.add(f"op.execute({UNSEEN[lost]!r})")
    history.add(rebuild("things", "name"))
    with pytest.raises(CommandError, match=f"Copying the table things would lose {lost},"):
        history.upgrade_script(sqlite_url, f"{start}:head")


@pytest.mark.exhaustive
def test_a_revision_that_leaves_children_without_a_parent_is_refused(history: History, url: str) -> None:
    history.add(f'{plain()}\nop.execute("DELETE FROM parents WHERE id = 3")')
    message = refused(history, url)
    assert "children to parents" in message


def test_an_index_that_would_come_back_in_another_order_is_refused(history: History, url: str) -> None:
    history.add(batch().replace("type_=sa.Text()", 'new_column_name="short"'))
    run_script(url, "DROP INDEX parents_lower_idx; DROP INDEX parents_partial_idx; DROP INDEX parents_nocase_idx")
    assert "parents_newest_idx" in refused(history, url)


def test_a_copy_made_by_hand_that_forgets_rows_is_refused(history: History, url: str) -> None:
    statements = [
        "CREATE TABLE _alembic_tmp_parents (id INTEGER PRIMARY KEY, code TEXT, parent_id INTEGER)",
        "INSERT INTO _alembic_tmp_parents SELECT * FROM parents WHERE id < 3",
        "DROP TABLE parents",
        "ALTER TABLE _alembic_tmp_parents RENAME TO parents",
    ]
    history.add("\n".join(f'op.execute("{statement}")' for statement in statements))
    assert "parents" in refused(history, url)


def test_a_copy_whose_original_is_gone_is_not_touched(history: History, url: str) -> None:
    run_script(url, "CREATE TABLE _alembic_tmp_lost (id INTEGER); INSERT INTO _alembic_tmp_lost VALUES (7)")
    history.add('op.execute("CREATE TABLE _alembic_tmp_lost (id INTEGER)")')
    assert 'ALTER TABLE "_alembic_tmp_lost" RENAME TO "lost"' in refused(history, url)


@by_plain_operation_and_by_batch
def test_a_script_that_would_lose_something_stops_and_changes_nothing(
    rebuild: Rebuild, history: History, url: str
) -> None:
    run_script(url, "DROP VIEW codes_of_children; DROP VIEW codes")
    start = history.add("\n".join(f"op.execute({part.strip()!r})" for part in TABLES.strip().split(";") if part))
    history.add(f'{rebuild()}\nop.execute("DELETE FROM parents WHERE id = 3")')
    with connected(url) as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
        connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{start}')")
    before = dump(url)
    with pytest.raises(sqlite3.OperationalError, match="integer overflow"):
        run_script(url, history.upgrade_script(url, f"{start}:head"))
    assert dump(url) == before
