"""Random models, composed of the features: a round trip, and no change kept silent."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st

from tests.support.any_model import Matrix
from tests.support.databases import Servers
from tests.support.model_features import AS_IT_IS, FEATURES, POSTGRESQL, SQLITE, Feature
from tests.support.model_project import Part, Parts, metadata_of
from tests.support.model_promises import change, round_trip

pytestmark = pytest.mark.exhaustive


@dataclass(frozen=True)
class Edit:
    """Models before and after an edit.

    Attributes:
        told_by: dialects whose databases can tell the two apart.
        needs: extensions and schemas.
    """

    before: Parts
    after: Parts
    told_by: tuple[str, ...]
    needs: tuple[str, ...] = ()


def features(dialect: str) -> list[Feature]:
    return [feature for feature in FEATURES.values() if dialect in feature.dialects]


def subject(feature: Feature) -> str:
    return feature.subject or feature.name


@st.composite
def edits(draw: st.DrawFn, dialect: str) -> Edit:
    """Draws tables of features and one of several features' columns, and options of them to change."""
    known = features(dialect)
    whole = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique_by=subject))
    with_columns = [feature for feature in known if feature.columns and feature not in whole]
    columns = draw(st.lists(st.sampled_from(with_columns), min_size=2, max_size=5, unique_by=subject))
    tables, composed = [_part(draw, feature) for feature in whole], [_part(draw, feature) for feature in columns]
    # A table or column that goes and one that comes could be a rename, which autogenerate asks about.
    more = draw(st.sampled_from(["table added", "table removed", "column added", "column removed", "neither"]))
    before: list[Part | list[Part]] = [(name, AS_IT_IS) for name, _ in tables]
    after: list[Part | list[Part]] = list(tables)
    before_columns, after_columns = [(name, AS_IT_IS) for name, _ in composed], composed
    if more.startswith("table"):
        (before if more.endswith("added") else after).pop()
    if more.startswith("column"):
        (before_columns if more.endswith("added") else after_columns).pop()
    edit = Edit(
        [before_columns, *before],
        [after_columns, *after],
        tuple({told for name, changed in [*tables, *composed] for told in FEATURES[name].tells(changed) if changed})
        if more == "neither"
        else (dialect,),
        tuple(dict.fromkeys(need for feature in [*whole, *columns] for need in feature.needs)),
    )
    assume(_can_be_built(edit.before) and _can_be_built(edit.after))
    return edit


def _part(draw: st.DrawFn, feature: Feature) -> Part:
    changes = [name for name in feature.changes if name not in feature.traces]
    return feature.name, draw(st.sampled_from([AS_IT_IS, AS_IT_IS, *changes]))


def _can_be_built(parts: Parts) -> bool:
    try:
        metadata_of(parts)
    except sa.exc.InvalidRequestError:  # two features share a table
        return False
    return True


# A failing example isn't shrunk: each try is a whole project's life. `python -m tests.support.any_model` tells which
# of its features is the culprit.
as_often = settings(
    deadline=None,
    derandomize=True,  # the same examples each time, until a feature is added; what failed once is an example for ever
    max_examples=10,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)


TABLES: list[Part | list[Part]] = [[("plain", ""), ("default_tab", "")]]


@pytest.fixture(scope="module")
def matrix(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    made = Matrix(servers, tmp_path_factory.mktemp("matrix"))
    yield made
    made.close()


def holds(matrix: Matrix, kind: str, edit: Edit) -> None:
    """Holds both promises to an edit, on a database of its own."""
    with ExitStack() as exits:
        project = matrix.project(kind, exits, edit.needs)
        round_trip(project, edit.before)
        change(project, edit.before, edit.after, edit.told_by, partly=True)


@as_often
@given(edit=edits("sqlite"))
@example(edit=Edit([("plain", ""), ("integer", "")], [("plain", "required"), ("integer", "big")], SQLITE))
@example(edit=Edit([*TABLES, ("check_in", "")], TABLES, SQLITE))
@example(edit=Edit([*TABLES, ("check_at_column", "")], TABLES, SQLITE))
@example(edit=Edit([[("plain", "")]], [[("plain", ""), ("text_collation", "")]], SQLITE))
def test_composed_models_on_sqlite(matrix: Matrix, edit: Edit) -> None:
    holds(matrix, "sqlite", edit)


@as_often
@given(edit=edits("postgresql"))
@example(edit=Edit([("plain", ""), ("integer", "")], [("plain", "commented"), ("integer", "big")], POSTGRESQL))
@example(edit=Edit([*TABLES, ("check_in", "")], TABLES, POSTGRESQL))
def test_composed_models_on_postgresql(matrix: Matrix, edit: Edit) -> None:
    holds(matrix, "postgresql", edit)
