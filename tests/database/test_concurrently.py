"""`op.concurrently`: the forms of operations that stall nobody."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.migrations.errors import MigrationError
from tests.support.alembic_in_process import History
from tests.support.database_access import execute, rows, run_script
from tests.support.databases import DATABASES, ONE_A_DAY, Servers, database, everyday
from tests.support.project_copy import ProjectCopy
from tests.support.schema_dump import schema_of

pytestmark = pytest.mark.in_turn

TABLES = """
op.create_table("parents", sa.Column("id", sa.Integer), sa.PrimaryKeyConstraint("id", name="parents_pkey"))
op.create_table(
    "children",
    sa.Column("id", sa.Integer, nullable=False),
    sa.Column("parent id", sa.Integer),
    sa.Column("a", sa.Integer),
    sa.Column("b%", sa.String(20)),
    sa.PrimaryKeyConstraint("id", name="children_pkey"),
)
"""
# As a convention makes it: SQLAlchemy cuts it to what PostgreSQL keeps.
LONG = 'op.f("a name that is longer than 63 bytes because its convention takes its columns")'
NOT_NULL = 'op.alter_column("children", "a", existing_type=sa.Integer, nullable=False)'
NULLABLE = 'op.alter_column("children", "a", existing_type=sa.Integer, nullable=True)'
# What is done, and undone.
CASES = {
    "an index": ('op.create_index("i", "children", ["a"])', 'op.drop_index("i", "children")'),
    "an index with options": (
        'op.create_index("i", "children", ["a", "id"], unique=True, postgresql_where=sa.text("a > 0"))',
        'op.drop_index("i", "children")',
    ),
    "an index as text": (
        """op.execute_on("postgresql", "CREATE INDEX i ON children USING btree (a DESC)")
op.execute_on("sqlite", "CREATE INDEX i ON children (a DESC)")""",
        'op.drop_index("i", "children")',
    ),
    "a unique constraint": (
        'op.create_unique_constraint("children u%", "children", ["a", "b%"])',
        'op.drop_constraint("children u%", "children", type_="unique")',
    ),
    "a unique constraint with options": (
        'op.create_unique_constraint("u", "children", ["a"], postgresql_nulls_not_distinct=True)',
        'op.drop_constraint("u", "children", type_="unique")',
    ),
    "a foreign key": (
        'op.create_foreign_key("f", "children", "parents", ["parent id"], ["id"], ondelete="CASCADE")',
        'op.drop_constraint("f", "children", type_="foreignkey")',
    ),
    "a check": (
        """op.create_check_constraint("c", "children", sa.text("\\"b%\\" <> ' a:b %s  c' OR a > 0"))""",
        'op.drop_constraint("c", "children", type_="check")',
    ),
    "a unique constraint of a long name": (
        f'op.create_unique_constraint({LONG}, "children", ["a", "id"])',
        f'op.drop_constraint({LONG}, "children", type_="unique")',
    ),
    "a foreign key of a long name": (
        f'op.create_foreign_key({LONG}, "children", "parents", ["parent id"], ["id"])',
        f'op.drop_constraint({LONG}, "children", type_="foreignkey")',
    ),
    "a check of a long name": (
        f'op.create_check_constraint({LONG}, "children", "a > 0")',
        f'op.drop_constraint({LONG}, "children", type_="check")',
    ),
    "an index of a long name": (f'op.create_index({LONG}, "children", ["a"])', f'op.drop_index({LONG}, "children")'),
    "not null": (NOT_NULL, NULLABLE),
    "no longer not null": (NULLABLE, NOT_NULL),
    "several": (
        'op.create_index("i", "children", ["a"])\n'
        'op.create_foreign_key("f", "children", "parents", ["parent id"], ["id"])\n' + NOT_NULL,
        NULLABLE + '\nop.drop_constraint("f", "children", type_="foreignkey")\nop.drop_index("i", "children")',
    ),
}
ROWS = (
    "INSERT INTO parents VALUES (1)",
    "INSERT INTO children SELECT n, 1, n, 'x' || n FROM (SELECT 1 AS n UNION SELECT 2 UNION SELECT 3) AS three",
)

POSTGRESQL = DATABASES[1:]

each_case = pytest.mark.parametrize("case", everyday(CASES, [case for case in CASES if "a long name" not in case]))


def block(*lines: str) -> str:
    return "with op.concurrently():\n" + "\n".join(f"    {line}" for text in lines for line in text.splitlines())


def written(history: History, case: str, *, plain: bool = False) -> list[str]:
    """Writes a revision with the tables, and one with the case; returns both."""
    up, down = CASES[case]
    base = history.add(TABLES + NOT_NULL * (case == "no longer not null"))
    return [base, history.add(up if plain else block(up), down if plain else block(down))]


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
def test_it_ends_where_the_plain_operation_does(case: str, new: Callable[[], str], tmp_path: Path) -> None:
    url, other = new(), new()
    made = []
    for place, plain in ((url, False), (other, True)):
        folder = tmp_path / f"history {plain}"
        folder.mkdir()
        history = History(folder)
        base, last = written(history, case, plain=plain)
        history.upgrade(place, base)
        execute(place, *ROWS)
        start = schema_of(place)
        history.upgrade(place, last)
        made.append(schema_of(place))
        assert made[-1] != start
        history.downgrade(place, base)
        assert schema_of(place) == start
        history.upgrade(place, last)
        made.append(schema_of(place))
    assert made == [made[0]] * len(made)


@each_case
@pytest.mark.in_turn
def test_a_script_ends_there_too(case: str, new: Callable[[], str], history: History) -> None:
    url, other = new(), new()
    base, last = written(history, case)
    for place in (url, other):
        history.upgrade(place, base)
    history.upgrade(url, last)
    run_script(other, history.upgrade_script(other, f"{base}:{last}"))
    assert schema_of(other) == schema_of(url)


@pytest.mark.parametrize("url", ONE_A_DAY, indirect=True)
def test_plain_operations_stay_in_the_transaction(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    project = ProjectCopy(folder, revisions=False)
    base = project.add(TABLES)
    project.upgrade(url)
    start = schema_of(url)
    project.add(block(CASES["several"][0], "raise RuntimeError"))
    script = project.alembic("-x", "plain=yes", "upgrade", f"{base}:head", "--sql", url=url).stdout
    assert "CREATE INDEX i" in script
    assert "NOT VALID" not in script
    done = project.alembic("-x", "plain=yes", "upgrade", "head", url=url)
    assert (done.returncode, schema_of(url)) == (1, start), done.stderr
    assert "-x plain must be yes or no" in project.alembic("-x", "plain=maybe", "upgrade", "head", url=url).stderr


WRONG = {
    "no name": ('op.create_unique_constraint(None, "children", ["a"])', "needs a name"),
    "another index": (
        'op.create_unique_constraint("taken", "children", ["id"])',
        r"children has an index taken already, and it isn't unique over \(id\)",
    ),
    "an index that isn't unique": (
        'op.create_unique_constraint("taken", "children", ["a"])',
        r"children has an index taken already, and it isn't unique over \(a\)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("url", POSTGRESQL, indirect=True)
def test_what_an_interrupted_run_would_not_find_again_is_refused(case: str, url: str, history: History) -> None:
    call, told = WRONG[case]
    history.add(f"{TABLES}op.create_index('taken', 'children', ['a'])")
    history.upgrade(url)
    start = schema_of(url)
    history.add(block(call))
    with pytest.raises(MigrationError, match=told):
        history.upgrade(url)
    assert schema_of(url) == start


def test_an_index_that_is_built_concurrently_leaves_the_transaction_by_itself(url: str, history: History) -> None:
    history.add(TABLES)
    history.add(
        'op.create_index("i", "children", ["a"], postgresql_concurrently=True)',
        'op.drop_index("i", "children", postgresql_concurrently=True)',
    )
    history.upgrade(url)
    made = schema_of(url)
    history.downgrade(url, "20260101000000")
    start = schema_of(url)
    history.upgrade(url)
    assert schema_of(url) == made != start


@pytest.mark.parametrize("url", POSTGRESQL, indirect=True)
def test_a_deferred_unique_constraint_stays_one(url: str, history: History) -> None:
    options = 'deferrable=True, initially="DEFERRED", postgresql_nulls_not_distinct=True'
    history.add(TABLES)
    history.add(block(f'op.create_unique_constraint("u", "children", ["a"], {options})'))
    history.upgrade(url)
    assert rows(url, "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'u'") == [
        ("UNIQUE NULLS NOT DISTINCT (a) DEFERRABLE INITIALLY DEFERRED",)
    ]
