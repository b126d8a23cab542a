"""Autogenerate and check, over the features of models: a round trip, and no change kept silent."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import sqlalchemy as sa

from tests.support.any_model import KINDS, Case, Matrix, cases
from tests.support.database_access import execute
from tests.support.databases import DATABASES, Servers
from tests.support.model_features import AS_IT_IS, BOTH, FEATURES, Feature
from tests.support.model_project import ModelProject, metadata_of
from tests.support.model_promises import BrokenPromise, change, is_clean, is_made_of, left_over, round_trip

LEAST = 80
# One of a kind each; the exhaustive run has all.
EVERYDAY = {"plain": AS_IT_IS, "columns": "one more, required", "key_with_options": "immediate"}
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


def test_there_are_enough_features() -> None:
    assert len(FEATURES) >= LEAST
    assert {name for name, feature in FEATURES.items() if not feature.changes} == {"key_cycle_plain"}
    assert not [name for name, feature in FEATURES.items() if {*feature.seen, *feature.traces} - {*feature.changes}]


def test_a_change_that_is_told_compiles_to_something_else() -> None:
    told = [
        (name, change_, dialect)
        for name, feature in FEATURES.items()
        for change_ in feature.changes
        for dialect in feature.tells(change_)
    ]
    assert not [case for case in told if statements(*case) == statements(case[0], AS_IT_IS, case[2])]


def statements(name: str, change_: str, dialect: str) -> list[str]:
    """The statements that `create_all` sends for a feature."""
    sent: list[str] = []

    def keep(statement: Any, *_: Any, **__: Any) -> None:
        sent.append(str(statement.compile(dialect=engine.dialect)))

    engine = sa.create_mock_engine({"sqlite": "sqlite://"}.get(dialect, "postgresql+psycopg://"), keep)
    metadata_of([(name, change_)]).create_all(engine, checkfirst=False)
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
