"""Table copies on SQLite state the whole table, as SQLite reports it, and leave no view or trigger broken."""

from typing import Any

import pytest
from alembic.util import CommandError

from tests.support.alembic_in_process import History, revision_of
from tests.support.database_access import execute, query, run_script
from tests.support.databases import At, everyday

USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY)"
PAIRS = "CREATE TABLE pairs (x INTEGER, y INTEGER, PRIMARY KEY (x, y))"
CHANGE = 'op.alter_column("t", "n", existing_type=sa.Integer(), nullable=False)'
BATCH = """\
with op.batch_alter_table("t") as batch:
    batch.alter_column("n", existing_type=sa.Integer(), nullable=False)"""
PRAGMAS = {
    "keys": 'SELECT "table", "from", "to", on_update, on_delete FROM pragma_foreign_key_list(\'t\') ORDER BY 2, 1, seq',
    "columns": "SELECT name, upper(type), \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo('t')",
    "indexes": "SELECT i.origin, i.partial, i.\"unique\", group_concat(x.name || ' ' || x.coll || ' ' || x.desc) "
    "FROM pragma_index_list('t') i JOIN pragma_index_xinfo(i.name) x WHERE x.key GROUP BY i.name ORDER BY 4",
}
# Columns beside `n INTEGER`, and what must be in the statement afterwards.
KEPT: dict[str, tuple[str, list[str]]] = {
    "a foreign key in its column": ("u INTEGER REFERENCES users (id) ON DELETE CASCADE", []),
    "a foreign key to the primary key": ("u INTEGER REFERENCES users ON UPDATE SET NULL ON DELETE SET DEFAULT", []),
    "quoted names": ("u INTEGER, FOREIGN KEY (`u`) REFERENCES [users]([id]) ON DELETE CASCADE", []),
    "a foreign key with a name in its column": (
        'u INTEGER CONSTRAINT "its user" REFERENCES users (id) ON DELETE RESTRICT',
        ['CONSTRAINT "its user" FOREIGN KEY'],
    ),
    "a foreign key checked at the end": (
        "u INTEGER REFERENCES users (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED NOT NULL DEFAULT 1",
        ["DEFERRABLE INITIALLY DEFERRED"],
    ),
    "a foreign key checked at once": ("u INTEGER REFERENCES users (id) NOT DEFERRABLE INITIALLY DEFERRED", []),
    "a foreign key of two columns": (
        "x INTEGER, y INTEGER, FOREIGN KEY (x, y) REFERENCES pairs ON DELETE CASCADE, FOREIGN KEY (x) REFERENCES users",
        [],
    ),
    "a foreign key to the table itself": ("id INTEGER PRIMARY KEY, of INTEGER REFERENCES t ON DELETE CASCADE", []),
    "a foreign key to a table that isn't there": ("u INTEGER REFERENCES gone (id) ON DELETE CASCADE", []),
    "types in another spelling": ("a BIGINT UNSIGNED, b INT PRIMARY KEY, c, d DOUBLE PRECISION, e my_type(3)", []),
    "a primary key that may be NULL": ("id TEXT PRIMARY KEY", []),
    "a primary key with a name": ("a TEXT, b TEXT, CONSTRAINT t_key PRIMARY KEY (b, a)", ["CONSTRAINT t_key PRIMARY"]),
    "unique columns": ("a VARCHAR(10) UNIQUE, b CONSTRAINT one_b UNIQUE, UNIQUE ([a], `b`)", ["CONSTRAINT one_b"]),
    "CHECKs without a name": (
        "a TEXT CHECK (a <> 'CHECK (1)'), CHECK (a <> ':b'\n AND n > 0)",
        ["<> 'CHECK (1)'", ":b"],
    ),
    "CHECKs with quoted names": ("a TEXT, CONSTRAINT [a b] CHECK (a > 0), CONSTRAINT 'c' CHECK (1)", ['"a b" CHECK']),
}
DEFAULTS = "a TEXT DEFAULT 'it''s :n', b TEXT DEFAULT \"two words\", c TEXT DEFAULT word, d DEFAULT TRUE, e DEFAULT -1"
LOST = {
    "a UNIQUE in descending order": ("a TEXT, UNIQUE (a DESC)", 'UNIQUE ("a" DESC)'),
    "a UNIQUE with a COLLATE": ("a TEXT, UNIQUE (a COLLATE NOCASE)", 'UNIQUE ("a" COLLATE NOCASE)'),
    "a primary key that isn't the rowid": ("id INTEGER PRIMARY KEY DESC", 'PRIMARY KEY ("id" DESC)'),
    "two foreign keys of the same columns": (
        "a INTEGER REFERENCES users, FOREIGN KEY (a) REFERENCES users (id) ON DELETE CASCADE",
        'FOREIGN KEY ("a") REFERENCES "users" ("id")',
    ),
}
plainly_and_in_a_batch = pytest.mark.parametrize("change", [CHANGE, BATCH], ids=["plain", "batch"])


def table(url: str, columns: str) -> None:
    execute(url, USERS, PAIRS, f"CREATE TABLE t (n INTEGER, {columns})")


def reported(url: str) -> dict[str, Any]:
    """What SQLite reports of the table, without what the change is about."""
    facts = {name: query(url, question) for name, question in PRAGMAS.items()}
    facts["columns"] = [row for row in facts["columns"] if row[0] != "n"]
    # A foreign key to a primary key may name its columns.
    facts["keys"] = [(*row[:2], "", *row[3:]) for row in facts["keys"]]
    return facts


def statement(url: str) -> str:
    return str(query(url, "SELECT sql FROM sqlite_master WHERE name = 't'")[0][0])


def refused(history: History, url: str) -> str:
    """Upgrades, which must fail in one line and change nothing; returns the line."""
    before = query(url, "SELECT * FROM sqlite_master WHERE tbl_name NOT IN ('alembic_version', 'schema_ledger')")
    revision = revision_of(url)
    with pytest.raises(CommandError) as refusal:
        history.upgrade(url)
    after = query(url, "SELECT * FROM sqlite_master WHERE tbl_name NOT IN ('alembic_version', 'schema_ledger')")
    assert [row[:3] + row[4:] for row in after] == [row[:3] + row[4:] for row in before]
    assert revision_of(url) == revision
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


# --- a copy is exact ----------------------------------------------------------


@plainly_and_in_a_batch
@pytest.mark.parametrize("kind", everyday(KEPT, [*KEPT][::2]))  # all of them as a script, below
def test_a_copy_keeps_what_sqlite_reports(kind: str, change: str, history: History, sqlite_url: str) -> None:
    columns, words = KEPT[kind]
    table(sqlite_url, columns)
    before = reported(sqlite_url)
    history.add(change)
    history.upgrade(sqlite_url)
    assert reported(sqlite_url) == before
    assert "n INTEGER NOT NULL" in statement(sqlite_url)
    assert [word for word in words if word not in statement(sqlite_url)] == []


@pytest.mark.parametrize("kind", KEPT)
def test_a_script_copies_as_exactly(kind: str, history: History, sqlite_url: str) -> None:
    columns, words = KEPT[kind]
    tables = (USERS, PAIRS, f"CREATE TABLE t (n INTEGER, {columns})")
    start = history.add("\n".join(f"op.execute(r'''{sql}'''.replace(':', chr(92) + ':'))" for sql in tables))
    history.add(CHANGE)
    history.upgrade(sqlite_url, start)
    before = reported(sqlite_url)
    run_script(sqlite_url, history.upgrade_script(sqlite_url, f"{start}:head"))
    assert reported(sqlite_url) == before
    assert [word for word in words if word not in statement(sqlite_url)] == []


def test_a_copy_keeps_the_values_of_defaults(history: History, sqlite_url: str) -> None:
    table(sqlite_url, DEFAULTS)
    history.add(CHANGE)
    history.upgrade(sqlite_url)
    execute(sqlite_url, "INSERT INTO t (n) VALUES (1)")
    assert query(sqlite_url, "SELECT a, b, c, d, e FROM t") == [("it's :n", "two words", "word", 1, -1)]


@plainly_and_in_a_batch
@pytest.mark.parametrize("kind", LOST)
def test_a_copy_that_would_lose_something_is_refused(kind: str, change: str, history: History, sqlite_url: str) -> None:
    columns, lost = LOST[kind]
    table(sqlite_url, columns)
    history.add(change)
    assert f"Copying the table t would lose {lost}, which Alembic doesn't see" in refused(history, sqlite_url)


@pytest.mark.parametrize("target", ["gone", "USERS", "pairs"])
def test_a_foreign_key_without_a_primary_key_to_refer_to_is_refused(
    target: str, history: History, sqlite_url: str
) -> None:
    table(sqlite_url, f"u INTEGER REFERENCES {target}")
    history.add(CHANGE)
    message = refused(history, sqlite_url)
    assert "The table t can't be copied: a foreign key names no columns" in message
    assert target in message


def test_a_table_that_the_revision_states_without_a_foreign_key_is_refused(history: History, sqlite_url: str) -> None:
    table(sqlite_url, "u INTEGER REFERENCES users (id) ON DELETE CASCADE")
    stated = 'sa.Table("t", sa.MetaData(), sa.Column("n", sa.BigInteger()), sa.Column("u", sa.BigInteger()))'
    history.add(BATCH.replace('"t"', f'"t", copy_from={stated}'))
    assert 'would lose FOREIGN KEY ("u")' in refused(history, sqlite_url)


def test_dropping_a_column_that_a_copy_could_not_keep_names_it(history: History, sqlite_url: str) -> None:
    table(sqlite_url, "u INTEGER REFERENCES users (id) ON DELETE CASCADE, v INTEGER REFERENCES users, x TEXT UNIQUE")
    history.add('op.drop_column("t", "v")\nop.drop_column("t", "x")')
    history.upgrade(sqlite_url)
    assert query(sqlite_url, PRAGMAS["keys"]) == [("users", "u", "id", "NO ACTION", "CASCADE")]
    assert query(sqlite_url, PRAGMAS["indexes"]) == []


# --- views and triggers -------------------------------------------------------

BROKEN: dict[str, tuple[list[str], str]] = {
    "a view": (["CREATE VIEW d AS SELECT n, z FROM t"], "the view d (no such column: z)"),
    "a view with quoted names": (['CREATE VIEW d AS SELECT "n", "z" FROM t'], "the view d (no such column: z)"),
    "a view of a view": (
        ["CREATE VIEW c AS SELECT * FROM t WHERE z > 0", "CREATE VIEW d AS SELECT n FROM c"],
        "the view c (no such column: z), the view d (no such column: z)",
    ),
    "the condition of a trigger": (
        ["CREATE TRIGGER d AFTER UPDATE ON t WHEN OLD.z <> NEW.z BEGIN SELECT 1; END"],
        "the trigger d (no such column: OLD.z)",
    ),
    "the columns of a trigger": (
        ["CREATE TRIGGER d BEFORE UPDATE OF n, [z] ON t BEGIN SELECT 1; END"],
        "the trigger d (no such column: z)",
    ),
    "a trigger of another table": (
        ["CREATE TRIGGER d AFTER DELETE ON users BEGIN UPDATE t SET z = NULL WHERE n = OLD.id; END"],
        "the trigger d (no such column: z)",
    ),
    "what a trigger inserts": (
        ["CREATE TRIGGER d AFTER INSERT ON users BEGIN INSERT INTO t (n, z) VALUES (NEW.id, 1); END"],
        "the trigger d (table t has no column named z)",
    ),
    "a trigger of a view": (
        [
            "CREATE VIEW v AS SELECT n FROM t",
            "CREATE TRIGGER d INSTEAD OF INSERT ON v BEGIN INSERT INTO t (z) VALUES (NEW.n); END",
        ],
        "the trigger d (table t has no column named z)",
    ),
}
DROPS = {
    "plain": 'op.drop_column("t", "z")',
    "batch": 'with op.batch_alter_table("t") as batch:\n    batch.drop_column("z")',
    "renamed": 'with op.batch_alter_table("t") as batch:\n    batch.alter_column("z", new_column_name="y")',
}


@pytest.mark.parametrize("drop", everyday(DROPS, [*DROPS][:1]))
@pytest.mark.parametrize("kind", BROKEN)
def test_a_view_or_trigger_that_would_break_is_named(kind: str, drop: str, history: History, sqlite_url: str) -> None:
    dependents, told = BROKEN[kind]
    table(sqlite_url, "z INTEGER")
    execute(sqlite_url, *dependents)
    history.add(DROPS[drop])
    message = refused(history, sqlite_url)
    assert f"The revision would leave unusable: {told}. Drop it before the change" in message


@pytest.mark.parametrize("kind", BROKEN)
def test_one_of_the_same_revision_is_named(kind: str, history: History, sqlite_url: str) -> None:
    dependents, told = BROKEN[kind]
    table(sqlite_url, "z INTEGER")
    history.add("\n".join([*(f"op.execute({sql!r})" for sql in dependents), DROPS["plain"]]))
    assert f"The revision would leave unusable: {told}." in refused(history, sqlite_url)


def test_a_table_whose_view_stays_is_not_dropped(history: History, at: At) -> None:
    url = at("base")
    execute(url, "CREATE TABLE t (n INTEGER)", "CREATE VIEW d AS SELECT n FROM t")
    history.add('op.drop_table("t")')
    with pytest.raises(CommandError, match=r"depend on it|unusable: the view d"):
        history.upgrade(url)


def test_the_way_out_works(history: History, sqlite_url: str) -> None:
    table(sqlite_url, "z INTEGER")
    execute(sqlite_url, "CREATE VIEW d AS SELECT n, z FROM t", "CREATE VIEW broken AS SELECT * FROM nowhere")
    created = 'op.execute("CREATE VIEW d AS SELECT n FROM t")'
    history.add("\n".join(['op.execute("DROP VIEW d")', DROPS["plain"], created]))
    history.upgrade(sqlite_url)
    assert query(sqlite_url, "SELECT * FROM d") == []


def test_a_view_may_wait_for_a_later_revision(history: History, sqlite_url: str) -> None:
    history.add('op.execute("CREATE VIEW d AS SELECT n FROM t")')
    history.add('op.execute("CREATE TABLE t (n INTEGER)")')
    history.upgrade(sqlite_url)
    assert query(sqlite_url, "SELECT * FROM d") == []
