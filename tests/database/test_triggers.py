"""Triggers that are declared with their table: they come and go with it."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from app import db
from app.triggers import UpdatedAtTrigger, declared_triggers
from tests.support.database_access import autocommit, rows, run

pytestmark = pytest.mark.in_turn

OBJECTS = {
    "sqlite": "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' ORDER BY name",
    "postgresql": """
        SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')
        UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        ORDER BY name
    """,
}
LONG_AGO = "2001-02-03 04:05:06.000000"

metadata = sa.MetaData()
tables = [
    sa.Table(
        name,
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text),
        sa.Column("updated_at", sa.DateTime, nullable=False),
    )
    for name in ("first", "second")
]
for table in tables:
    UpdatedAtTrigger(table)
plain = sa.Table("plain", metadata, sa.Column("id", sa.Integer, primary_key=True, autoincrement=False))


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    engine = db.engine(url)
    yield engine
    engine.dispose()


def objects(engine: sa.Engine) -> list[str]:
    """The names of all tables, sequences, triggers and functions in the database."""
    with engine.connect() as connection:
        return [*connection.scalars(sa.text(OBJECTS[engine.dialect.name]))]


def with_function(engine: sa.Engine, *names: str) -> list[str]:
    shared = ["update_updated_at_column"] if engine.dialect.name == "postgresql" else []
    return sorted([*names, *shared])


def test_declared_triggers_are_known_by_name() -> None:
    found = declared_triggers(metadata)
    assert {name: trigger.table for name, trigger in found.items()} == {
        "update_first_updated_at": "first",
        "update_second_updated_at": "second",
    }
    assert declared_triggers(sa.MetaData()) == {}


def test_triggers_come_and_go_with_the_tables(engine: sa.Engine) -> None:
    for _ in range(2):
        metadata.create_all(engine)
        assert objects(engine) == with_function(
            engine, "first", "plain", "second", "update_first_updated_at", "update_second_updated_at"
        )
        metadata.create_all(engine)
        metadata.drop_all(engine)
        assert objects(engine) == []
        metadata.drop_all(engine)


def test_triggers_come_and_go_with_one_table(engine: sa.Engine) -> None:
    first, second = tables
    first.create(engine)
    assert objects(engine) == with_function(engine, "first", "update_first_updated_at")
    second.create(engine)
    first.drop(engine)
    assert objects(engine) == with_function(engine, "second", "update_second_updated_at")
    second.drop(engine)
    assert objects(engine) == []


def test_a_table_without_a_trigger_brings_none(engine: sa.Engine) -> None:
    metadata.create_all(engine, tables=[plain])
    assert objects(engine) == ["plain"]
    metadata.create_all(engine)
    metadata.drop_all(engine, tables=[plain])
    assert objects(engine) == with_function(
        engine, "first", "second", "update_first_updated_at", "update_second_updated_at"
    )


def test_the_function_stays_while_a_foreign_trigger_needs_it(postgres_url: str) -> None:
    engine = db.migration_engine(postgres_url)
    metadata.create_all(engine)
    run(postgres_url, "CREATE TABLE theirs (updated_at timestamp)")
    run(
        postgres_url,
        "CREATE TRIGGER theirs BEFORE UPDATE ON theirs FOR EACH ROW EXECUTE FUNCTION update_updated_at_column()",
    )
    metadata.drop_all(engine)
    assert objects(engine) == with_function(engine, "theirs", "theirs")


def test_the_statements_undo_each_other(engine: sa.Engine) -> None:
    metadata.create_all(engine)
    dialect = engine.dialect.name
    before = objects(engine)
    with engine.begin() as connection:
        for trigger in declared_triggers(metadata).values():
            connection.execute(sa.text(trigger.drop(dialect)))
        left = [*connection.scalars(sa.text(OBJECTS[dialect]))]
        assert left == with_function(engine, "first", "plain", "second")
        for trigger in declared_triggers(metadata).values():
            connection.execute(sa.text(trigger.create(dialect).replace(":", r"\:")))
    assert objects(engine) == before


@pytest.mark.parametrize("recursive", ["OFF", "ON"])
def test_a_trigger_on_sqlite_may_be_recursive(sqlite_url: str, recursive: str) -> None:
    metadata.create_all(db.migration_engine(sqlite_url))
    values = ", ".join(f"({number}, 'old', '{LONG_AGO}')" for number in range(100))
    run(sqlite_url, f"INSERT INTO first VALUES {values}")
    with autocommit(sqlite_url) as connection:
        connection.exec_driver_sql(f"PRAGMA recursive_triggers = {recursive}")
        before = connection.exec_driver_sql("SELECT strftime('%Y-%m-%d %H:%M:%f000', 'now')").scalar_one()
        connection.execute(sa.text("UPDATE first SET name = 'new' WHERE id < 50"))
        after = connection.exec_driver_sql("SELECT strftime('%Y-%m-%d %H:%M:%f000', 'now')").scalar_one()
        changed = connection.execute(sa.text("SELECT id, name, updated_at FROM first ORDER BY id")).all()
    assert {row.name for row in changed[:50]} == {"new"}
    assert all(before <= row.updated_at <= after for row in changed[:50])
    assert {tuple(row)[1:] for row in changed[50:]} == {("old", LONG_AGO)}


def test_an_upsert_moves_updated_at(engine: sa.Engine, url: str) -> None:
    metadata.create_all(engine)
    insert = f"INSERT INTO first VALUES (1, 'old', '{LONG_AGO}') ON CONFLICT (id) DO UPDATE SET name = 'new'"
    run(url, insert)
    stored = "SELECT name, CAST(updated_at AS varchar) > '2001-02-04' FROM first"
    assert [(name, bool(moved)) for name, moved in rows(url, stored)] == [("old", False)]
    run(url, insert)
    assert [(name, bool(moved)) for name, moved in rows(url, stored)] == [("new", True)]
