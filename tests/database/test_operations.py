"""The operations: triggers that autogenerate sees, and changes that SQLite has no ALTER for."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations import Operations, ops

from app import db
from app.migrations import autogenerate
from app.triggers import UpdatedAtTrigger
from tests.support import sample_rows
from tests.support.alembic_in_process import History
from tests.support.database_access import connected, execute, query, run_script
from tests.support.databases import At, everyday
from tests.support.schema_dump import Schema, schema_of

# --- triggers -----------------------------------------------------------------


def models(*tables: str, triggers: bool) -> sa.MetaData:
    metadata = sa.MetaData()
    for name in tables:
        key = sa.Column("id", sa.Integer, primary_key=True)
        table = sa.Table(name, metadata, key, sa.Column("updated_at", sa.DateTime))
        if triggers:
            UpdatedAtTrigger(table)
    return metadata


def difference(url: str, metadata: sa.MetaData) -> ops.MigrationScript:
    """What `alembic revision --autogenerate` would write."""
    with connected(url) as connection:
        plugins = ["alembic.autogenerate.*", autogenerate.PLUGINS[2]]
        return produce_migrations(context_of(connection, plugins), metadata)


def context_of(connection: sa.Connection, plugins: list[str] | None = None) -> MigrationContext:
    return MigrationContext.configure(connection, opts={"autogenerate_plugins": plugins})


def run(url: str, container: ops.OpContainer | None) -> None:
    assert container is not None
    with connected(url) as connection:
        runner = Operations(context_of(connection))
        for operation in flat(container):
            runner.invoke(operation)


def flat(container: ops.OpContainer) -> list[ops.MigrateOperation]:
    found: list[ops.MigrateOperation] = []
    for operation in container.ops:
        found += flat(operation) if isinstance(operation, ops.OpContainer) else [operation]
    return found


def goes_there_and_back(url: str, metadata: sa.MetaData) -> tuple[Schema, Schema]:
    """Makes the database what the models say, and undoes it; gives the schema as it was, and as it was made."""
    before = schema_of(url)
    script = difference(url, metadata)
    run(url, script.upgrade_ops)
    after = schema_of(url)
    again = difference(url, metadata)
    assert again.upgrade_ops is not None
    assert again.upgrade_ops.is_empty()
    run(url, script.downgrade_ops)
    assert schema_of(url) == before
    return before, after


def created(url: str, metadata: sa.MetaData) -> Schema:
    metadata.create_all(db.migration_engine(url))
    return schema_of(url)


def test_an_added_trigger_is_created_with_its_function(at: At) -> None:
    url, wanted = at("base"), models("notes", "lists", triggers=True)
    created(url, models("notes", "lists", triggers=False))
    _, after = goes_there_and_back(url, wanted)
    assert after == created(at("base"), wanted)


def test_a_trigger_is_created_and_dropped_with_its_table(at: At) -> None:
    url, wanted = at("base"), models("notes", triggers=True)
    _, after = goes_there_and_back(url, wanted)
    assert after == created(at("base"), wanted)

    nothing = at("base")
    created(nothing, wanted)
    _, after = goes_there_and_back(nothing, sa.MetaData())
    assert after == {}


def test_a_second_trigger_uses_the_function_that_is_there(at: At) -> None:
    url, wanted = at("base"), models("notes", "lists", triggers=True)
    created(url, models("notes", triggers=True))
    script = difference(url, wanted)
    assert script.upgrade_ops is not None
    assert "create_trigger_function" not in render_python_code(script.upgrade_ops)
    _, after = goes_there_and_back(url, wanted)
    assert after == created(at("base"), wanted)


def test_a_removed_trigger_is_dropped_and_its_function_with_the_last(at: At) -> None:
    url = at("base")
    created(url, models("notes", "lists", triggers=True))
    _, after = goes_there_and_back(url, models("notes", "lists", triggers=False))
    assert after == created(at("base"), models("notes", "lists", triggers=False))


OTHER_TRIGGER = {
    "sqlite": "CREATE TRIGGER update_notes_updated_at AFTER UPDATE OF id ON notes BEGIN SELECT 1; END",
    "postgresql": "CREATE TRIGGER update_notes_updated_at BEFORE UPDATE ON notes FOR EACH STATEMENT "
    "EXECUTE FUNCTION update_updated_at_column()",
}


def test_a_changed_trigger_is_replaced_and_put_back(at: At) -> None:
    url, wanted = at("base"), models("notes", triggers=True)
    expected = created(url, wanted)
    on_notes = " ON notes" if "postgresql" in url else ""
    other = OTHER_TRIGGER[sa.make_url(url).get_backend_name()]
    execute(url, f"DROP TRIGGER update_notes_updated_at{on_notes}", other)
    before, after = goes_there_and_back(url, wanted)
    assert before != after
    assert after == expected


def test_a_changed_function_is_replaced_and_put_back(postgres_url: str) -> None:
    wanted = models("notes", triggers=True)
    expected = created(postgres_url, wanted)
    execute(
        postgres_url,
        "CREATE OR REPLACE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN NEW.updated_at = now() + '1 hour'; RETURN NEW; END;$$",
    )
    before, after = goes_there_and_back(postgres_url, wanted)
    assert before != after
    assert after == expected


OTHER_PEOPLES = {
    "sqlite": ["CREATE TRIGGER notes_audit AFTER UPDATE ON notes BEGIN DELETE FROM lists; END"],
    "postgresql": [
        "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN DELETE FROM lists; RETURN NEW; END;$$",
        "CREATE TRIGGER notes_audit AFTER UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION audit()",
    ],
}


@pytest.mark.parametrize("triggers", [True, False])
def test_other_peoples_triggers_are_left_alone(at: At, triggers: bool) -> None:
    url, wanted = at("base"), models("notes", "lists", triggers=triggers)
    created(url, wanted)
    execute(url, *OTHER_PEOPLES[sa.make_url(url).get_backend_name()])
    script = difference(url, wanted)
    assert script.upgrade_ops is not None
    assert script.upgrade_ops.is_empty()


def test_a_trigger_is_written_with_all_it_does(at: At) -> None:
    url = at("base")
    created(url, models("notes", triggers=False))
    script = difference(url, models("notes", triggers=True))
    assert script.upgrade_ops is not None
    assert script.downgrade_ops is not None
    written = render_python_code(script.upgrade_ops)
    assert "op.create_trigger_function('update_updated_at_column', 'BEGIN NEW.updated_at" in written
    assert "postgresql='BEFORE UPDATE ON notes FOR EACH ROW" in written
    assert 'sqlite="AFTER UPDATE ON notes FOR EACH ROW' in written
    undone = render_python_code(script.downgrade_ops)
    assert undone.index("op.drop_trigger('update_notes_updated_at', 'notes')") < undone.index(
        "op.drop_trigger_function('update_updated_at_column')"
    )


# --- changes that SQLite has no ALTER for -------------------------------------

PARENTS = "CREATE TABLE parents (id INTEGER NOT NULL, CONSTRAINT parents_pkey PRIMARY KEY (id))"
NOTES = """
CREATE TABLE notes (
    id INTEGER NOT NULL,
    title VARCHAR(10) DEFAULT 'x' NOT NULL,
    body TEXT,
    amount INTEGER NOT NULL,
    parent_id INTEGER NOT NULL,
    CONSTRAINT notes_pkey PRIMARY KEY (id),
    CONSTRAINT notes_title_key UNIQUE (title),
    CONSTRAINT notes_amount_check CHECK (amount > 0),
    CONSTRAINT notes_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES parents (id) ON DELETE CASCADE
)
"""
INDEX = "CREATE INDEX notes_body_idx ON notes (body)"
ROWS = [
    "INSERT INTO parents VALUES (1), (2)",
    "INSERT INTO notes VALUES (1, 'one', 'a ''quoted'' ü', 1, 1), (2, 'two', 'b', 2, 2)",
]
AMOUNT_KEY = "CONSTRAINT notes_amount_fkey FOREIGN KEY (amount) REFERENCES parents (id) ON DELETE SET NULL"
PRIMARY_KEY = """
op.drop_constraint("notes_pkey", "notes", type_="primary")
op.create_primary_key("notes_pkey", "notes", ["id", "title"])
"""
FIRST_COLUMN = "    id INTEGER NOT NULL,\n"

# An operation, and what it does to the statement that made the table: this text, in the place of that.
CHANGES: dict[str, tuple[str, str, str]] = {
    "the type": (
        'op.alter_column("notes", "title", existing_type=sa.String(10), type_=sa.String(20), existing_nullable=False)',
        "title VARCHAR(10)",
        "title VARCHAR(20)",
    ),
    "to NOT NULL": (
        'op.alter_column("notes", "body", existing_type=sa.Text(), nullable=False)',
        "body TEXT",
        "body TEXT NOT NULL",
    ),
    "to NULL": (
        'op.alter_column("notes", "amount", existing_type=sa.Integer(), nullable=True)',
        "amount INTEGER NOT NULL",
        "amount INTEGER",
    ),
    "a default": (
        'op.alter_column("notes", "amount", existing_type=sa.Integer(), server_default=sa.text("7"))',
        "amount INTEGER",
        "amount INTEGER DEFAULT 7",
    ),
    "no default": (
        'op.alter_column("notes", "title", existing_type=sa.String(10), server_default=None)',
        " DEFAULT 'x'",
        "",
    ),
    "a unique constraint less": (
        'op.drop_constraint("notes_title_key", "notes", type_="unique")',
        "    CONSTRAINT notes_title_key UNIQUE (title),\n",
        "",
    ),
    "a unique constraint more": (
        'op.create_unique_constraint("notes_amount_title_key", "notes", ["amount", "title"])',
        "UNIQUE (title)",
        "UNIQUE (title), CONSTRAINT notes_amount_title_key UNIQUE (amount, title)",
    ),
    "a foreign key less": (
        'op.drop_constraint("notes_parent_id_fkey", "notes", type_="foreignkey")',
        ",\n    CONSTRAINT notes_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES parents (id) ON DELETE CASCADE",
        "",
    ),
    "a foreign key more": (
        'op.create_foreign_key("notes_amount_fkey", "notes", "parents", ["amount"], ["id"], ondelete="SET NULL")',
        "ON DELETE CASCADE",
        "ON DELETE CASCADE,\n    " + AMOUNT_KEY,
    ),
    "a check less": (
        'op.drop_constraint("notes_amount_check", "notes", type_="check")',
        "    CONSTRAINT notes_amount_check CHECK (amount > 0),\n",
        "",
    ),
    "a check more": (
        'op.create_check_constraint("notes_body_check", "notes", "body <> \'\'")',
        "CHECK (amount > 0)",
        "CHECK (amount > 0), CONSTRAINT notes_body_check CHECK (body <> '')",
    ),
    "a primary key of two columns": (
        PRIMARY_KEY,
        "PRIMARY KEY (id)",
        "PRIMARY KEY (id, title)",
    ),
    "the type and the name": (
        'op.alter_column("notes", "body", existing_type=sa.Text(), type_=sa.String(50), new_column_name="text")',
        "body TEXT",
        "text VARCHAR(50)",
    ),
    "a column that refers to a row": (
        'op.add_column("notes", sa.Column("of", sa.Integer(), sa.ForeignKey("parents.id", name="notes_of_fkey")))',
        "    CONSTRAINT notes_pkey",
        "of INTEGER, CONSTRAINT notes_of_fkey FOREIGN KEY (of) REFERENCES parents (id), CONSTRAINT notes_pkey",
    ),
    "a column less": ('op.drop_column("notes", "body")', "    body TEXT,\n", ""),
    "a column with a default of the moment": (
        'op.add_column("notes", sa.Column("at", sa.DateTime(), server_default=sa.text("CURRENT_TIMESTAMP")))',
        FIRST_COLUMN,
        FIRST_COLUMN + "at {datetime} DEFAULT CURRENT_TIMESTAMP,\n",
    ),
}
IN_PLACE: dict[str, tuple[str, str, str]] = {
    "a column's name": (
        'op.alter_column("notes", "body", existing_type=sa.Text(), new_column_name="text")',
        "body TEXT",
        "text TEXT",
    ),
    "a column that may be NULL": (
        'op.add_column("notes", sa.Column("extra", sa.String(20)))',
        FIRST_COLUMN,
        FIRST_COLUMN + "extra VARCHAR(20),\n",
    ),
    "a flag": (
        'op.add_column("notes", sa.Column("done", sa.Boolean(), server_default=sa.text("false"), nullable=False))',
        FIRST_COLUMN,
        FIRST_COLUMN + "done BOOLEAN DEFAULT false NOT NULL,\n",
    ),
    "a text with a default": (
        'op.add_column("notes", sa.Column("kind", sa.String(5), server_default="it\'s", nullable=False))',
        FIRST_COLUMN,
        FIRST_COLUMN + "kind VARCHAR(5) DEFAULT 'it''s' NOT NULL,\n",
    ),
}

# One of each kind: a column, each constraint, the key, what is done in place.
EVERY_DAY = {"the type", "to NOT NULL", "a unique constraint less", "a foreign key more", "a check more"}
EVERY_DAY |= {"a primary key of two columns", "a column less", "a column's name", "a flag"}
each_change = pytest.mark.parametrize("change", everyday(CHANGES | IN_PLACE, EVERY_DAY))


def sql(*statements: str) -> str:
    return "\n".join(f"op.execute({statement!r})" for statement in statements)


@pytest.mark.in_turn
@each_change
def test_a_change_is_the_same_on_both_databases_and_keeps_the_rows(change: str, history: History, at: At) -> None:
    start, url = changed(change, history), at("base")
    history.upgrade(url, start)
    execute(url, *ROWS)
    before = sample_rows.values_in(url)
    history.upgrade(url)
    after = sample_rows.values_in(url)
    assert schema_of(url) == expected(change, at("base"))
    assert sample_rows.common(after, before) == sample_rows.common(before, after)


@each_change
def test_a_script_for_sqlite_does_the_same_and_copies_tables_only_where_it_must(
    change: str, history: History, sqlite_url: str, tmp_path: Path
) -> None:
    start = changed(change, history)
    script = history.upgrade_script(sqlite_url, f"{start}:head")
    assert ("CREATE TABLE _alembic_tmp_notes" in script) == (change in CHANGES)
    history.upgrade(sqlite_url, start)
    execute(sqlite_url, *ROWS)
    before = sample_rows.values_in(sqlite_url)
    run_script(sqlite_url, script)
    after = sample_rows.values_in(sqlite_url)
    assert schema_of(sqlite_url) == expected(change, f"sqlite:///{tmp_path}/expected.db")
    assert sample_rows.common(after, before) == sample_rows.common(before, after)


def changed(change: str, history: History) -> str:
    """Adds the revisions that make the tables and the change; returns the id of the first."""
    start = history.add(sql(PARENTS, NOTES, INDEX))
    consent = {"drop_column notes.body": "its values were copied"} if change == "a column less" else None
    history.add((CHANGES | IN_PLACE)[change][0], acknowledged=consent)
    return start


def expected(change: str, url: str) -> Schema:
    """The schema of a database that was made as the change should leave it."""
    _, old, new = (CHANGES | IN_PLACE)[change]
    datetime = "TIMESTAMP" if "postgresql" in url else "DATETIME"
    table = NOTES.replace(old, new.format(datetime=datetime))
    indexed = [INDEX.replace("(body)", f"({column})") for column in ("body", "text") if f" {column} " in table]
    execute(url, PARENTS, table, *indexed)
    return schema_of(url)


def test_a_column_takes_its_values_along_when_its_name_changes(history: History, at: At) -> None:
    start, url = changed("a column's name", history), at("base")
    history.upgrade(url, start)
    execute(url, *ROWS)
    history.upgrade(url)
    assert query(url, "SELECT text FROM notes ORDER BY id") == [("a 'quoted' ü",), ("b",)]


def test_triggers_and_views_follow_a_renamed_column_through_a_table_copy(history: History, sqlite_url: str) -> None:
    trigger = "CREATE TRIGGER t AFTER UPDATE OF body ON notes BEGIN UPDATE notes SET amount = amount + 1; END"
    start = history.add(sql(PARENTS, NOTES, INDEX, trigger, "CREATE VIEW bodies AS SELECT body FROM notes"))
    history.add(CHANGES["the type and the name"][0])
    history.upgrade(sqlite_url, start)
    execute(sqlite_url, *ROWS)
    history.upgrade(sqlite_url)
    execute(sqlite_url, "UPDATE notes SET text = 'new' WHERE id = 1")
    assert query(sqlite_url, "SELECT amount FROM notes ORDER BY id") == [(2,), (3,)]
    assert query(sqlite_url, "SELECT * FROM bodies ORDER BY 1") == [("b",), ("new",)]


def test_a_constraint_without_a_name_has_the_one_that_postgresql_gives_it(history: History, at: At) -> None:
    """As in databases that were made by hand, before there was a history."""
    url = at("base")
    things = "CREATE TABLE things (id INTEGER PRIMARY KEY, code TEXT, parent_id INTEGER REFERENCES parents (id), {})"
    execute(url, PARENTS, things.format("UNIQUE (code), UNIQUE (parent_id, code)"))
    execute(url, "INSERT INTO parents VALUES (1)", "INSERT INTO things VALUES (1, 'a', 1)")
    history.add('op.drop_constraint("things_code_key", "things", type_="unique")')
    history.add('op.drop_constraint("things_parent_id_fkey", "things", type_="foreignkey")')
    history.upgrade(url)
    left = {name for name in schema_of(url) if name.startswith("constraint things.")}
    assert left == {"constraint things.things_pkey", "constraint things.things_parent_id_code_key"}
    assert query(url, "SELECT * FROM things") == [(1, "a", 1)]


# A new column, and the names of what comes along with it.
ADDED: dict[str, tuple[str, set[str]]] = {
    "unique": ('sa.Column("x", sa.String(10), unique=True)', {"notes_x_key"}),
    "unique and required": ('sa.Column("x", sa.Integer(), nullable=False, unique=True)', {"notes_x_key"}),
    "an index": ('sa.Column("x", sa.String(10), index=True)', {"ix_notes_x"}),
    "a unique index": ('sa.Column("x", sa.String(10), index=True, unique=True)', {"ix_notes_x"}),
    "a CHECK": ('sa.Column("x", sa.Integer(), sa.CheckConstraint("x > 0"))', {"notes_x_check"}),
    "a CHECK with a name": ('sa.Column("x", sa.Integer(), sa.CheckConstraint("x > 0", name="small"))', {"small"}),
    "a CHECK and a default": (
        'sa.Column("x", sa.Integer(), sa.CheckConstraint("x > 0"), server_default="1", nullable=False)',
        {"notes_x_check"},
    ),
    "an index and a default of the moment": (
        'sa.Column("x", sa.DateTime(), server_default=sa.text("CURRENT_TIMESTAMP"), index=True)',
        {"ix_notes_x"},
    ),
    "a foreign key": ('sa.Column("x", sa.Integer(), sa.ForeignKey("parents.id"))', {"notes_x_fkey"}),
    "a unique foreign key": (
        'sa.Column("x", sa.Integer(), sa.ForeignKey("parents.id", ondelete="CASCADE"), unique=True)',
        {"notes_x_key", "notes_x_fkey"},
    ),
}
NOTES_OF_TWO = "CREATE TABLE notes (id INTEGER NOT NULL, y INTEGER, CONSTRAINT notes_pkey PRIMARY KEY (id))"
IN_A_BATCH = 'with op.batch_alter_table("notes") as batch:\n    batch.'


def names_in(url: str) -> set[str]:
    """The names of the table's constraints and indexes, without its primary key."""
    kinds = ("constraint notes.", "index notes.")
    return {name.partition(".")[2] for name in schema_of(url) if name.startswith(kinds)} - {"notes_pkey"}


@pytest.mark.in_turn
@pytest.mark.parametrize("kind", ADDED)
def test_a_new_column_brings_its_constraints_and_takes_them_along(kind: str, history: History, at: At) -> None:
    column, names = ADDED[kind]
    start, url = history.add(sql(PARENTS, NOTES_OF_TWO)), at("base")
    history.add(f'op.add_column("notes", {column})', 'op.drop_column("notes", "x")')
    history.upgrade(url)
    assert names_in(url) == names
    history.downgrade(url, start)
    assert names_in(url) == set()


@pytest.mark.in_turn
@pytest.mark.parametrize("kind", ADDED)
def test_a_batch_adds_and_drops_a_column_with_its_constraints(kind: str, history: History, sqlite_url: str) -> None:
    column, names = ADDED[kind]
    start = history.add(sql(PARENTS, NOTES_OF_TWO))
    history.add(f"{IN_A_BATCH}add_column({column})", f'{IN_A_BATCH}drop_column("x")')
    history.upgrade(sqlite_url)
    assert names_in(sqlite_url) == names
    history.downgrade(sqlite_url, start)
    assert names_in(sqlite_url) == set()
    script = history.upgrade_script(sqlite_url, f"{start}:head")
    run_script(sqlite_url, script)
    assert names_in(sqlite_url) == names


def test_a_unique_column_refuses_the_second_of_two_equal_values(history: History, at: At) -> None:
    start, url = history.add(sql(PARENTS, NOTES_OF_TWO)), at("base")
    history.add(f'op.add_column("notes", {ADDED["unique"][0]})')
    history.upgrade(url, start)
    execute(url, "INSERT INTO notes (id) VALUES (1), (2)")
    history.upgrade(url)
    execute(url, "UPDATE notes SET x = 'a' WHERE id = 1")
    with pytest.raises(sa.exc.IntegrityError):
        execute(url, "UPDATE notes SET x = 'a' WHERE id = 2")


# A column whose type brings a CHECK; the names that SQLite has then, a value that is refused, and one that is taken.
ENUM = """sa.Column("x", sa.Enum("a", "it's :b", native_enum=False, create_constraint=True{}){})"""
OF_ITS_TYPE: dict[str, tuple[str, set[str], str, str]] = {
    "an Enum": (ENUM.format("", ""), {"notes_x_check"}, "'c'", "'it''s :b'"),
    "an Enum with a name": (ENUM.format(", name='letter'", ""), {"letter"}, "'c'", "'a'"),
    "an Enum that is required": (
        ENUM.format("", ", server_default='a', nullable=False"),
        {"notes_x_check"},
        "NULL",
        "'it''s :b'",
    ),
    "a Boolean": ('sa.Column("x", sa.Boolean(create_constraint=True))', {"notes_x_check"}, "2", "1"),
    "a Boolean with a name": ('sa.Column("x", sa.Boolean(create_constraint=True, name="yes"))', {"yes"}, "2", "0"),
    "a Boolean that is required": (
        'sa.Column("x", sa.Boolean(create_constraint=True), server_default=sa.false(), nullable=False)',
        {"notes_x_check"},
        "2",
        "1",
    ),
    "a Boolean that is unique": (
        'sa.Column("x", sa.Boolean(create_constraint=True), unique=True)',
        {"notes_x_check", "notes_x_key"},
        "2",
        "1",
    ),
}


# Types that hold such a type.
HOLDS_ONE = {
    "a variant": """sa.String(9).with_variant(sa.Enum("a", native_enum=False, create_constraint=True), "sqlite")""",
    "a decorator": """type("Kind", (sa.TypeDecorator,), {"cache_ok": True,
        "impl": sa.Enum("a", native_enum=False, create_constraint=True)})()""",
}


@pytest.mark.parametrize("kind", HOLDS_ONE)
def test_a_check_of_a_type_within_another_is_kept(kind: str, history: History, sqlite_url: str) -> None:
    history.add(sql(PARENTS, NOTES_OF_TWO))
    history.add(f'op.add_column("notes", sa.Column("x", {HOLDS_ONE[kind]}))', 'op.drop_column("notes", "x")')
    history.upgrade(sqlite_url)
    execute(sqlite_url, "INSERT INTO notes (id, x) VALUES (1, 'a')")
    with pytest.raises(sa.exc.IntegrityError):
        execute(sqlite_url, "INSERT INTO notes (id, x) VALUES (2, 'b')")


@pytest.mark.in_turn
@pytest.mark.parametrize("in_a_batch", [False, True], ids=["plain", "batch"])
@pytest.mark.parametrize("kind", OF_ITS_TYPE)
def test_a_new_column_brings_the_check_of_its_type(kind: str, in_a_batch: bool, history: History, at: At) -> None:
    column, names, refused, taken = OF_ITS_TYPE[kind]
    start, url = history.add(sql(PARENTS, NOTES_OF_TWO)), at("base")
    history.upgrade(url)
    execute(url, "INSERT INTO notes (id, y) VALUES (1, 2)")
    plain = f'op.add_column("notes", {column})', 'op.drop_column("notes", "x")'
    batch = f"{IN_A_BATCH}add_column({column})", f'{IN_A_BATCH}drop_column("x")'
    added = history.add(*(batch if in_a_batch else plain))
    history.upgrade(url)
    if "postgresql" in url and "Boolean" in kind:  # has a type of its own, which needs no CHECK
        names, refused, taken = names - {"notes_x_check", "yes"}, "'maybe'", "true"
    assert names_in(url) == names
    with pytest.raises(sa.exc.DBAPIError):
        execute(url, f"UPDATE notes SET x = {refused}")
    execute(url, f"UPDATE notes SET x = {taken}")
    history.add('op.alter_column("notes", "y", existing_type=sa.Integer(), nullable=False)')  # copies the table again
    history.upgrade(url)
    assert names_in(url) == names
    with pytest.raises(sa.exc.DBAPIError):
        execute(url, f"UPDATE notes SET x = {refused}")
    history.downgrade(url, start, accept=[added])
    assert (names_in(url), query(url, "SELECT * FROM notes")) == (set(), [(1, 2)])


MENTIONED = [
    """CREATE TABLE notes (id INTEGER NOT NULL CHECK (id > 0), x INTEGER UNIQUE CHECK (x > 0), y VARCHAR(5), z INTEGER,
    CONSTRAINT notes_pkey PRIMARY KEY (id), CONSTRAINT a CHECK (z < X), CONSTRAINT b CHECK (y <> 'x'),
    CHECK ("x" <> 3 OR y IS NULL), CONSTRAINT c UNIQUE (z, x), CONSTRAINT d UNIQUE (z, y))""",
    "CREATE INDEX e ON notes (y) WHERE x IS NOT NULL",
    "CREATE INDEX f ON notes (abs(x))",
    "CREATE INDEX g ON notes (y) WHERE z IS NOT NULL",
    "CREATE UNIQUE INDEX h ON notes (z, x)",
]


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.parametrize("how", ['op.drop_column("notes", ', f"{IN_A_BATCH}drop_column("], ids=["plain", "batch"])
def test_checks_and_indexes_go_with_a_column_that_they_mention(how: str, history: History, at: At) -> None:
    url = at("base")
    execute(url, *MENTIONED)
    history.add(f'{how}"x")', acknowledged={"drop_column notes.x": "nothing is in it"})
    history.upgrade(url)
    left = names_in(url) | {"notes_id_check"}
    assert left - {"None"} == {"notes_id_check", "b", "d", "g"}
    with pytest.raises(sa.exc.IntegrityError):
        execute(url, "INSERT INTO notes (id) VALUES (0)")
    execute(url, "INSERT INTO notes (id, y, z) VALUES (1, 'y', 5)")


REPEATED = """
op.add_column("notes", sa.Column("extra", sa.Integer()), if_not_exists=True)
op.drop_constraint("notes_title_key", "notes", type_="unique", if_exists=True)
op.drop_column("notes", "body", if_exists=True)
"""


@pytest.mark.exhaustive
def test_if_exists_passes_over_objects_that_are_there_or_gone_already(history: History, at: At) -> None:
    consent = {"drop_column notes.body": "its values were copied"}
    start, url = history.add(sql(PARENTS, NOTES, INDEX)), at("base")
    once = history.add(REPEATED, acknowledged=consent)
    history.add(REPEATED)
    history.upgrade(url, start)
    execute(url, *ROWS)
    history.upgrade(url, once)
    done = schema_of(url), sample_rows.values_in(url)
    assert {"column notes.extra", "column notes.body", "constraint notes.notes_title_key"} & set(done[0]) == {
        "column notes.extra"
    }
    history.upgrade(url)
    assert (schema_of(url), sample_rows.values_in(url)) == done
    if url.startswith("sqlite"):
        assert "CREATE TABLE" not in history.upgrade_script(url, f"{once}:head")


COMMENTS = """
op.create_table_comment("notes", "What people note.", existing_comment=None)
op.alter_column("notes", "body", existing_type=sa.Text(), comment="The text.", existing_nullable=True)
"""
NO_COMMENTS = """
op.alter_column("notes", "body", existing_type=sa.Text(), comment=None, existing_nullable=True)
op.drop_table_comment("notes", existing_comment="What people note.")
"""


def test_comments_are_written_where_there_is_a_place_for_them(history: History, at: At) -> None:
    start = history.add(sql(PARENTS, NOTES))
    history.add(COMMENTS, NO_COMMENTS)
    url = at("base")
    history.upgrade(url, start)
    before = schema_of(url)
    history.upgrade(url)
    after = schema_of(url)
    if "postgresql" in url:
        assert after["table notes"] == ("What people note.",)
        assert after["column notes.body"][-1] == "The text."
    else:
        assert after == before
        assert "notes" not in history.upgrade_script(url, f"{start}:head").replace("'notes'", "")
    history.downgrade(url, start)
    assert schema_of(url) == before


ODD = ["100 % of it", "a colon: here", 'it\'s \\ "quoted"', "two\nlines; DROP TABLE notes", "", "%(name)s %s"]


@pytest.mark.parametrize("outside", [False, True], ids=["in a transaction", "outside"])
def test_a_new_table_gets_all_its_comments(outside: bool, history: History, at: At) -> None:
    columns = "".join(f", sa.Column('c{n}', sa.Text, comment={text!r})" for n, text in enumerate(ODD))
    create = f"op.create_table('t', sa.Column('id', sa.Integer){columns}, sa.Index('t_id', 'id'), comment={ODD[2]!r})"
    if outside:
        create = f"with op.get_context().autocommit_block():\n    {create}"
    history.add(create, "op.drop_table('t')")
    url = at("base")
    history.upgrade(url)
    with connected(url) as connection:
        inspector = sa.inspect(connection)
        assert [index["name"] for index in inspector.get_indexes("t")] == ["t_id"]
        if "postgresql" in url:
            comments = [column.get("comment") for column in inspector.get_columns("t")]
            assert comments == [None, *(text or None for text in ODD)]
            assert inspector.get_table_comment("t") == {"text": ODD[2]}
    history.downgrade(url)


def test_the_table_that_a_revision_gets_has_its_comments(history: History, at: At) -> None:
    create = "t = op.create_table('t', sa.Column('a', sa.Text, comment='A.'), sa.Column('b', sa.Text, comment='B.'))"
    history.add(f"{create}\nassert [column.comment for column in t.c] == ['A.', 'B.']", "op.drop_table('t')")
    history.upgrade(at("base"))
