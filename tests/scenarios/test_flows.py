"""One good and one bad revision for each rule, tests/flows/: the bad one is refused, the good one goes up and down."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.alembic_in_process import revision_of
from tests.support.approved_texts import Approve, plain
from tests.support.database_access import connected, execute
from tests.support.databases import Servers, database
from tests.support.project_copy import ProjectCopy
from tests.support.sample_rows import Values, values_in
from tests.support.schema_dump import Schema, schema_of

FLOWS = Path(__file__).parents[1] / "flows"
NAMES = sorted(file.stem.partition("_")[2] for file in FLOWS.glob("bad_*.py"))
# What SQLite has no word for: it knows no such statement, looks at no length, and migrates with foreign keys off.
POSTGRESQL_ONLY = {
    "cascade",
    "delete_parents",
    "detach_partition",
    "drop_schema",
    "merge",
    "narrow_type",
    "opaque",
    "remove_enum_value",
    "truncate",
}
# SQLite counts the values that a cast would change, PostgreSQL stops at the first that it refuses.
TOLD_APART = {"alter_type"}

HEADER = 'revision = "20260101000001"\ndown_revision = "20260101000000"\n'
START = [
    """
    CREATE TABLE users (
        id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(50) NOT NULL, email TEXT, legacy TEXT, unused TEXT, score INTEGER
    )
    """,
    "CREATE TABLE archive (id INTEGER NOT NULL PRIMARY KEY)",
    "CREATE TABLE vacant (id INTEGER NOT NULL PRIMARY KEY)",
    "INSERT INTO users VALUES (1, 'Grace', 'both@example.com', 'seven', NULL, 7)",
    "INSERT INTO users VALUES (2, 'Barbara', 'both@example.com', '8', NULL, 8)",
    "INSERT INTO users VALUES (3, 'Ada', NULL, NULL, NULL, NULL)",
    "INSERT INTO archive VALUES (1), (2)",
]
START_ON_POSTGRESQL = [
    "CREATE TYPE mood AS ENUM ('glad', 'sad', 'cross')",
    "CREATE TYPE colour AS ENUM ('red')",
    "ALTER TABLE users ADD COLUMN mood mood",
    "UPDATE users SET mood = (CASE id WHEN 1 THEN 'sad' ELSE 'glad' END)::mood",
    "CREATE SCHEMA attic",
    "CREATE SCHEMA warehouse CREATE TABLE shelves (id INTEGER)",
    "CREATE TABLE teams (id INTEGER NOT NULL PRIMARY KEY)",
    "CREATE TABLE members (id INTEGER NOT NULL PRIMARY KEY, team INTEGER REFERENCES teams ON DELETE CASCADE)",
    "CREATE TABLE events (id INTEGER) PARTITION BY RANGE (id)",
    "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (10)",
    "CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (10) TO (20)",
    "INSERT INTO events VALUES (1), (2)",
    "CREATE TABLE clubs (id INTEGER NOT NULL PRIMARY KEY)",
    "CREATE TABLE visitors (id INTEGER NOT NULL PRIMARY KEY, club INTEGER REFERENCES clubs ON DELETE CASCADE)",
    "INSERT INTO warehouse.shelves VALUES (1)",
    "INSERT INTO teams VALUES (1), (2)",
    "INSERT INTO members VALUES (1, 1), (2, 1), (3, 2)",
    "INSERT INTO clubs VALUES (1)",
]
SCHEMAS_AND_LABELS = """
SELECT nspname FROM pg_namespace
UNION ALL SELECT typname || ' ' || enumlabel FROM pg_enum JOIN pg_type ON pg_type.oid = enumtypid
ORDER BY 1
"""
EACH = [
    pytest.param(kind, name, marks=marks, id=f"{kind}-{name}")
    for kind, marks in (("sqlite", ()), ("postgresql", ()), ("postgresql17", pytest.mark.exhaustive))
    for name in NAMES
    if kind != "sqlite" or name not in POSTGRESQL_ONLY
]

each = pytest.mark.parametrize(("kind", "name"), EACH)


@pytest.fixture(scope="module")
def starts(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """The URL of a database of a kind with the first revision and some rows, to be copied and not touched."""
    made: dict[str, str] = {}
    with ExitStack() as exits:

        def start(kind: str) -> str:
            if kind not in made:
                folder = tmp_path_factory.mktemp("start")
                url = exits.enter_context(database(kind, servers, folder))
                project = ProjectCopy(folder, revisions=False)
                project.add("pass")
                done = project.alembic("upgrade", "head", url=url)
                assert done.returncode == 0, done.stderr
                execute(url, *START, *(START_ON_POSTGRESQL if "postgresql" in url else []))
                made[kind] = url
            return made[kind]

        yield start


@pytest.fixture
def url(kind: str, starts: Callable[[str], str], servers: Servers, tmp_path: Path) -> Iterator[str]:
    with database(kind, servers, tmp_path, template=starts(kind)) as copy:
        yield copy


@pytest.fixture
def flows(tmp_path: Path) -> ProjectCopy:
    """A project whose history is the first revision; the second is to be a flow's."""
    folder = tmp_path / "project"
    folder.mkdir()
    project = ProjectCopy(folder, revisions=False)
    project.add("pass")
    return project


def take(flow: str, project: ProjectCopy) -> None:
    """Makes a flow the second revision of a project."""
    code = (FLOWS / f"{flow}.py").read_text(encoding="utf-8")
    (project.versions / f"{flow}.py").write_text(f"{code}\n\n{HEADER}", encoding="utf-8")


def everything_in(url: str) -> tuple[str | None, Schema, list[str], Values]:
    names = []
    if "postgresql" in url:
        with connected(url) as connection:
            names = [str(name) for name in connection.scalars(sa.text(SCHEMAS_AND_LABELS))]
    return revision_of(url), schema_of(url), names, values_in(url)


def test_every_rule_has_a_good_and_a_bad_revision() -> None:
    assert sorted(file.stem.partition("_")[2] for file in FLOWS.glob("good_*.py")) == NAMES
    assert set(NAMES) > POSTGRESQL_ONLY


@pytest.mark.in_turn
@each
def test_a_bad_revision_is_refused_and_leaves_nothing_half_done(
    name: str, flows: ProjectCopy, url: str, approve: Approve
) -> None:
    take(f"bad_{name}", flows)
    before = everything_in(url)
    done = flows.alembic("upgrade", "head", url=url)
    assert (done.returncode, done.stdout) == (7, "")
    kind = f".{sa.make_url(url).get_backend_name()}" if name in TOLD_APART else ""
    approve(f"flows/{name}{kind}.txt", plain(done.stderr, flows.folder))
    assert everything_in(url) == before


@pytest.mark.in_turn
@each
def test_a_good_revision_is_applied_and_reverted(name: str, flows: ProjectCopy, url: str) -> None:
    take(f"good_{name}", flows)
    _, *before = everything_in(url)
    flows.upgrade(url)
    revision, *after = everything_in(url)
    assert revision == "20260101000001"
    # One empties an empty table; the other one's partition is the same table by itself.
    assert (after == before) == (name in ("truncate", "detach_partition"))
    flows.downgrade(url, "20260101000000", accept=["20260101000001"])
    assert everything_in(url)[:3] == ("20260101000000", *before[:2])
