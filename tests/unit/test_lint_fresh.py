"""Revisions that were labelled before any linter saw them: `schema lint` finds the unsafe ones, and no other."""

from pathlib import Path

import pytest

from tests.support.environment import ROOT
from tests.support.squawk import ours

FILES = sorted((ROOT / "tests" / "fresh").glob("*/*.py"))
# Files whose label lint contradicts, with the reason.
CONTRADICTED: dict[str, str] = {
    "index_concurrently_by_hand": "not yet",
    "backfill_by_pages": "not yet",
    "views": "not yet",
    "locked_and_copied": "not yet",
    "default_taken_away": "not yet",
    "trigger_that_refuses_rows": "not yet",
    "revoke_from_the_application": "not yet",
    "table_moves_to_another_schema": "not yet",
    "report_made_under_a_lock": "not yet",
    "function_dropped_with_its_triggers": "not yet",
    "row_level_security": "not yet",
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}: {file.stem[15:]}")
def test_lint_agrees_with_the_label(file: Path) -> None:
    is_unsafe = file.parent.name == "unsafe"
    assert bool(ours(file)) is (is_unsafe != (file.stem[15:] in CONTRADICTED)), CONTRADICTED.get(file.stem[15:])


def test_there_are_as_many_of_both() -> None:
    labels = [file.parent.name for file in FILES]
    assert labels.count("safe") == labels.count("unsafe") == 40
