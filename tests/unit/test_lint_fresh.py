"""Revisions that were labelled before any linter saw them: `schema lint` finds the unsafe ones, and no other."""

from pathlib import Path

import pytest

from tests.support.environment import ROOT
from tests.support.squawk import ours

FILES = sorted((ROOT / "tests" / "fresh").glob("*/*.py"))
# Files whose label lint contradicts, with the reason.
CONTRADICTED = {
    "index_concurrently_by_hand": "the engine asks an operator after it, as there is no IF NOT EXISTS",
    "views": "the order of columns is a rule of this project, and stalls no one",
    "trigger_that_refuses_rows": "the body of a trigger isn't looked into",
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}: {file.stem[15:]}")
def test_lint_agrees_with_the_label(file: Path) -> None:
    is_unsafe = file.parent.name == "unsafe"
    assert bool(ours(file)) is (is_unsafe != (file.stem[15:] in CONTRADICTED)), CONTRADICTED.get(file.stem[15:])


def test_there_are_as_many_of_both() -> None:
    labels = [file.parent.name for file in FILES]
    assert labels.count("safe") == labels.count("unsafe") == 40
