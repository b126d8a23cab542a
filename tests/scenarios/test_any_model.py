"""Autogenerate and check, over the features of models: a round trip, and no change kept silent."""

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from tests.support.any_model import KINDS, Case, Matrix, cases
from tests.support.approved_texts import Approve
from tests.support.database_access import engine, execute
from tests.support.databases import DATABASES, Servers, database
from tests.support.model_features import AS_IT_IS, BOTH, FEATURES, Feature
from tests.support.model_project import ModelProject, metadata_of
from tests.support.model_promises import BrokenPromise, change, is_clean, is_made_of, left_over, round_trip

LEAST = 80
# One of a kind each; the exhaustive run has all.
EVERYDAY = {"plain": AS_IT_IS, "columns": "one more", "key_with_options": "immediate"}
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
    ("char", "longer", "abc"),
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


def _every_day(feature: Feature, change_: str, kind: str = "") -> list[pytest.MarkDecorator]:
    chosen = kind != "postgresql17" and EVERYDAY.get(feature.name) == change_
    return [] if chosen else [pytest.mark.exhaustive]


def _cases(*, changed: bool, kinds: tuple[str, ...]) -> list[Any]:
    return [
        pytest.param(case, id=str(case), marks=_every_day(case.feature, case.change, case.kind))
        for case in cases(kinds)
        if bool(case.change) is changed
    ]


def _files() -> list[Any]:
    return [
        pytest.param(
            feature, change_, id=f"{feature.name}{':' if change_ else ''}{change_}", marks=pytest.mark.exhaustive
        )
        for feature in FEATURES.values()
        if feature.dialects == BOTH
        for change_ in (AS_IT_IS, *feature.changes)
    ]


@pytest.fixture(scope="module")
def matrix(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    made = Matrix(servers, tmp_path_factory.mktemp("matrix"))
    yield made
    made.close()


@pytest.fixture(params=DATABASES)
def applied(request: pytest.FixtureRequest, matrix: Matrix) -> Iterator[ModelProject]:
    """A project at head of the plain models."""
    with ExitStack() as exits:
        project = matrix.project(request.param, exits)
        round_trip(project, PLAIN)
        yield project


def holds(matrix: Matrix, case: Case) -> None:
    fault = matrix.outcome(case).fault
    if fault:
        pytest.fail(fault, pytrace=False)


@pytest.mark.parametrize("case", _cases(changed=False, kinds=KINDS))
def test_a_database_is_brought_to_the_models_and_back(matrix: Matrix, case: Case) -> None:
    holds(matrix, case)


# A change is written from facts, which the round trips have read on both servers.
@pytest.mark.parametrize("case", _cases(changed=True, kinds=BOTH))
def test_a_change_is_in_the_revision_or_named(matrix: Matrix, case: Case) -> None:
    holds(matrix, case)


@pytest.mark.parametrize(("feature", "changed"), _files())
def test_the_file_is_the_same_whichever_database_it_was_written_against(
    matrix: Matrix, feature: Feature, changed: str
) -> None:
    fault = matrix.same_file(feature, changed).fault
    if fault:
        pytest.fail(fault, pytrace=False)


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
