"""Autogenerate and check, over the features of models: a round trip, and no change kept silent.

`python -m tests.support.any_model` tries each feature and each change alone.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from app.migrations import snapshots
from app.models import Base
from tests.support.alembic_in_process import upgrade
from tests.support.any_model import KINDS, MAJORS, Case, Matrix, cases
from tests.support.approved_texts import Approve
from tests.support.database_access import connected, engine, execute
from tests.support.databases import Servers, database
from tests.support.model_features import AS_IT_IS, BOTH, FEATURES
from tests.support.model_groups import Group, change_each, groups
from tests.support.model_project import ModelProject, metadata_of
from tests.support.model_promises import BrokenPromise, change, is_clean, is_made_of, left_over, round_trip, same_text

LEAST = 80
EVERYDAY = [("columns", "one more", "sqlite")]
GROUPS = groups()
OLDER = ["postgresql17", "postgresql15"]
# Each takes every second group.
ON_OLDER = [
    (group, OLDER[number % 2])
    for number, group in enumerate(group for group in GROUPS if "postgresql" in group.dialects)
]
NOON = dt.datetime(2020, 7, 1, 12, 30, 15, 123456, dt.UTC)
# What the application wrote before a change of the type.
VALUES = [
    ("utc", "with time zone", NOON),
    ("utc_zoned", "without", NOON),
    ("integer", "big", 7),
    ("integer", "a number", 7),
    ("big_integer", "small", 7),
    ("big_integer", "small", 2**40),
    ("string", "a text", "it's 50% é"),
    ("string", "shorter", "a"),
    ("string", "shorter", "twenty letters, not 9"[:20]),
    ("numeric", "precision", Decimal("12.34")),
    ("numeric", "scale", Decimal("12.34")),
    ("json", "binary", {"a": [1, None, "it's"]}),
    ("uuid", "as text", UUID(int=7)),
    ("binary", "limited", b"\x00\xff'"),
    ("pg_jsonb", "json", {"a": 1}),
    ("pg_array", "of big ones", [1, 2]),
    ("pg_array_of_strings", "longer", ["a", "it's"]),
    ("pg_citext", "a text", "Mixed"),
    ("pg_collated", "other", "é"),
    ("domain", "its type", "a@b"),
]
# What a person would read before a deploy; the first stays in the default run.
READ = [
    ("enum", "value added"),
    ("enum", "value removed"),
    ("check", "text"),
    ("index_partial", "predicate"),
    ("utc", "with time zone"),
    ("json", "binary"),
    ("computed_stored", "expression"),
    ("identity", "always"),
    ("exclude", "operator"),
    ("unique_on_conflict", "abort"),
]
PLAIN = [("plain", AS_IT_IS)]
REQUIRED = [("plain", "required")]


@pytest.fixture(scope="module")
def matrix(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    made = Matrix(servers, tmp_path_factory.mktemp("matrix"))
    yield made
    made.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.exhaustive)])
def applied(request: pytest.FixtureRequest, matrix: Matrix) -> Iterator[ModelProject]:
    """A project at head of the plain models."""
    with ExitStack() as exits:
        project = matrix.project(request.param, exits)
        round_trip(project, PLAIN)
        yield project


@pytest.mark.parametrize("case", [Case(FEATURES[name], change_, kind) for name, change_, kind in EVERYDAY], ids=str)
def test_a_change_is_in_the_revision_or_named(matrix: Matrix, case: Case) -> None:
    assert matrix.outcome(case).fault == ""


@pytest.mark.exhaustive
@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_each_feature_goes_there_and_back_and_changes_one_option_at_a_time(matrix: Matrix, group: Group) -> None:
    texts: dict[str, list[str]] = {}
    for dialect in group.dialects:
        with ExitStack() as exits:
            project = matrix.project(dialect, exits, group.needs)
            texts[dialect] = [round_trip(project, group.as_they_are)]
            texts[dialect] += [change_each(project, group.as_they_are, after) for after in group.changes]
    for ones in zip(*texts.values(), strict=True):  # the same file, whichever database it was written against
        same_text(ones[0], ones[-1])


@pytest.mark.exhaustive
@pytest.mark.parametrize(("group", "kind"), ON_OLDER, ids=str)
def test_an_older_server_is_brought_to_the_models_and_back(matrix: Matrix, group: Group, kind: str) -> None:
    known = [(feature.name, AS_IT_IS) for feature in group.features if feature.since <= MAJORS[kind]]
    with ExitStack() as exits:
        if known:
            round_trip(matrix.project(kind, exits, group.needs), known)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", OLDER)
def test_our_models_are_equal_on_an_older_server(servers: Servers, tmp_path: Path, kind: str) -> None:
    with database(kind, servers, tmp_path) as url:
        upgrade(url)
        with connected(url) as connection:
            found = snapshots.compare_with_models(connection, Base.metadata, snapshots.take(connection))
        assert (found.differences, found.notes) == ([], [])


@pytest.mark.parametrize(
    ("feature", "changed"), [pytest.param(*case, marks=[pytest.mark.exhaustive] * (case != READ[0])) for case in READ]
)
def test_a_revision_reads_as_a_person_would_write_it(
    matrix: Matrix, approve: Approve, feature: str, changed: str
) -> None:
    outcome = matrix.outcome(Case(FEATURES[feature], changed, "postgresql"))
    assert outcome.fault == ""
    approve(f"revisions/{feature}_{changed.replace(' ', '_')}.py.txt", outcome.text)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(("feature", "changed", "value"), VALUES)
def test_a_value_means_the_same_after_a_change(
    matrix: Matrix, feature: str, changed: str, value: object, kind: str
) -> None:
    if kind in FEATURES[feature].dialects:
        fault = matrix.kept(Case(FEATURES[feature], changed, kind), value).fault
        if fault:
            pytest.fail(fault, pytrace=False)


def test_there_are_enough_features() -> None:
    assert len(FEATURES) >= LEAST
    assert {name for name, feature in FEATURES.items() if not feature.changes} == {"key_cycle_plain"}
    assert not [name for name, feature in FEATURES.items() if {*feature.seen, *feature.traces} - {*feature.changes}]


@pytest.mark.exhaustive
def test_a_change_that_is_told_compiles_to_something_else() -> None:
    told = [
        (name, change_, dialect)
        for name, feature in FEATURES.items()
        for change_ in feature.changes
        for dialect in feature.tells(change_)
    ]
    assert not [case for case in told if statements(*case) == statements(case[0], AS_IT_IS, case[2])]


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.exhaustive) for kind in KINDS])
def test_every_model_can_be_created(servers: Servers, tmp_path: Path, kind: str) -> None:
    faults = []
    with database(kind, servers, tmp_path) as url, engine(url).connect() as connection:
        for case in cases([kind]):
            metadata = metadata_of([(case.feature.name, case.change)])
            with connection.begin() as transaction:
                for need in case.feature.needs:
                    connection.exec_driver_sql(f"CREATE {need}")
                try:
                    metadata.create_all(connection)
                except sa.exc.SQLAlchemyError as error:
                    faults.append(f"{case}: {error}")
                transaction.rollback()
    assert faults == []


def statements(name: str, change_: str, dialect: str) -> list[str]:
    """The statements that `create_all` sends for a feature."""
    sent: list[str] = []

    def keep(statement: Any, *_: Any, **__: Any) -> None:
        sent.append(str(statement.compile(dialect=mock.dialect)))

    mock = sa.create_mock_engine({"sqlite": "sqlite://"}.get(dialect, "postgresql+psycopg://"), keep)
    metadata_of([(name, change_)]).create_all(mock, checkfirst=False)
    return sent


def test_broken_promises_are_found(applied: ModelProject) -> None:
    is_clean(applied)
    is_made_of(applied, PLAIN)
    assert "plain" in " ".join(left_over(applied.url))
    with pytest.raises(BrokenPromise, match="silent: nothing was written"):
        change(applied, PLAIN, PLAIN, BOTH)
    execute(applied.url, "ALTER TABLE plain ADD COLUMN made_by_hand INTEGER")
    with pytest.raises(BrokenPromise, match="schema check again: ends with 8"):
        is_clean(applied, "again")
    with pytest.raises(BrokenPromise, match="made_by_hand"):
        is_made_of(applied, PLAIN)
    with pytest.raises(BrokenPromise, match="a revision was written for what no database can tell"):
        change(applied, PLAIN, REQUIRED, ())
