"""What `env.py` does around a command: whose connection, what it leaves alone, what is left when a revision fails."""

import logging
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from app import database_url, db
from tests.support.alembic_in_process import INI, History, Memory, config, revision_of
from tests.support.database_access import execute, query
from tests.support.databases import At
from tests.support.project_copy import ProjectCopy
from tests.support.schema_dump import schema_of

pytestmark = pytest.mark.in_turn

READING: dict[str, Callable[[Config], object]] = {
    "check": command.check,
    "current": command.current,
    "heads": command.heads,
    "history": command.history,
}
WRITING: dict[str, Callable[[Config], object]] = {
    "upgrade": lambda config: command.upgrade(config, "head"),
    "downgrade": lambda config: command.downgrade(config, "-1"),
    "stamp": lambda config: command.stamp(config, "head"),
}


# --- a connection from outside ------------------------------------------------


def test_an_engine_from_outside_is_used(url: str) -> None:
    command.upgrade(config(url), "20241211000000")
    assert revision_of(url) == "20241211000000"


def test_a_connection_from_outside_is_used_and_left_open(url: str) -> None:
    with db.engine(url).connect() as connection:
        handed_over = config(url)
        handed_over.attributes["connection"] = connection
        command.upgrade(handed_over, "20241211000000")
        assert not connection.in_transaction()
        assert connection.scalar(sa.text("SELECT count(*) FROM users")) == 0
    connection.engine.dispose()
    assert revision_of(url) == "20241211000000"


@pytest.mark.exhaustive
def test_a_database_in_memory_can_be_handed_over() -> None:
    engine = db.engine("sqlite://")
    with engine.connect() as connection:
        handed_over = Config(INI)
        handed_over.attributes["connection"] = connection
        command.upgrade(handed_over, "head")
        assert "service_providers" in sa.inspect(connection).get_table_names()
    engine.dispose()


@pytest.mark.parametrize("name", WRITING)
def test_a_connection_in_a_transaction_is_refused_by_what_writes(name: str, at: At) -> None:
    url = at("20251212003115")
    with db.migration_engine(url).connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        handed_over = config(url)
        handed_over.attributes["connection"] = connection
        with pytest.raises(CommandError, match="is in a transaction"):
            WRITING[name](handed_over)
        assert connection.in_transaction()
    assert revision_of(url) == "20251212003115"


def test_a_connection_in_a_transaction_may_be_read_from(at: At) -> None:
    url = at("20251212003115")
    with db.migration_engine(url).connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        handed_over = config(url)
        handed_over.attributes["connection"] = connection
        command.current(handed_over)
        assert isinstance(handed_over.stdout, Memory)
        assert "20251212003115" in handed_over.stdout.getvalue()
        assert connection.in_transaction()


# --- what is left alone -------------------------------------------------------


@pytest.mark.parametrize("name", READING)
def test_reading_creates_nothing(name: str, url: str, project: ProjectCopy) -> None:
    done = project.alembic(name, url=url)
    # A database without revisions is behind, and `check` says so; for the others that is an answer like any.
    assert done.returncode == (3 if name == "check" else 0), done.stderr
    if (file := database_url.sqlite_file(database_url.parse(url))) is not None:
        assert list(file.parent.iterdir()) == []
    else:
        assert query(url, "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace") == []


@pytest.mark.parametrize("name", READING)
def test_reading_changes_nothing(name: str, head_url: str) -> None:
    before = schema_of(head_url), query(head_url, "SELECT count(*) FROM alembic_version")
    READING[name](config(head_url))
    assert (schema_of(head_url), query(head_url, "SELECT count(*) FROM alembic_version")) == before


@pytest.mark.exhaustive
def test_logging_is_left_as_it_is_in_process(sqlite_url: str) -> None:
    def state() -> list[object]:
        loggers = [logging.root, *(logging.getLogger(name) for name in sorted(logging.root.manager.loggerDict))]
        return [(logger.name, logger.level, logger.disabled, list(logger.handlers)) for logger in loggers]

    command.upgrade(config(sqlite_url), "20241211000000")  # makes the loggers that there are
    before = state()
    command.upgrade(config(sqlite_url), "head")
    command.check(config(sqlite_url))
    assert state() == before


# --- a revision that fails ----------------------------------------------------

FIRST = 'op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text))'
FAILING = """
op.create_table("lists", sa.Column("id", sa.Integer, primary_key=True))
op.execute("INSERT INTO notes VALUES (2, 'by the revision')")
op.execute("UPDATE notes SET text = 'changed' WHERE id = 1")
op.alter_column("notes", "text", existing_type=sa.Text(), nullable=False)
op.create_index("notes_text_idx", "notes", ["text"])
{failure}
"""


@pytest.mark.parametrize(
    "failure", ['op.execute("SELECT nonsense")', 'raise ValueError("broken")', 'op.drop_table("missing")']
)
def test_a_revision_that_fails_leaves_nothing_behind(failure: str, history: History, at: At) -> None:
    url = at("base")
    first = history.add(FIRST)
    history.add(FAILING.format(failure=failure))
    history.upgrade(url, first)
    execute(url, "INSERT INTO notes VALUES (1, 'mine')")
    before = schema_of(url)
    with pytest.raises(CommandError) as refusal:
        history.upgrade(url)
    assert "\n" not in str(refusal.value)
    assert schema_of(url) == before
    assert query(url, "SELECT * FROM notes") == [(1, "mine")]
    assert revision_of(url) == first


def test_revisions_before_the_one_that_fails_stay_applied(history: History, at: At) -> None:
    url = at("base")
    first = history.add(FIRST)
    history.add(FAILING.format(failure='raise ValueError("broken")'))
    with pytest.raises(CommandError):
        history.upgrade(url)
    assert query(url, "SELECT * FROM notes") == []
    assert revision_of(url) == first


def test_a_downgrade_that_fails_leaves_nothing_behind(history: History, at: At) -> None:
    url = at("base")
    history.add(FIRST)
    second = history.add('op.add_column("notes", sa.Column("n", sa.Integer))', 'op.drop_column("notes", "n")\n1 / 0')
    history.upgrade(url)
    before = schema_of(url)
    with pytest.raises(CommandError):
        history.downgrade(url)
    assert (schema_of(url), revision_of(url)) == (before, second)
