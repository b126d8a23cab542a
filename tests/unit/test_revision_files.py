"""The files of the history: order, names, docstrings and imports."""

import re
from pathlib import Path

import pytest

from tests.support.alembic_in_process import FILES, REVISIONS, scripts
from tests.unit.test_imports import broken_by_revision

# The ids and names are facts of running databases: this list only ever grows.
HISTORY = [
    "20241211000000_initial_setup",
    "20251212003115_add_service_registry",
    "20251212003212_schema_sync",
    "20251213000000_encrypt_github_tokens",
    "20260110000000_add_gateway_tables",
    "20260111000000_add_request_logs_is_stream",
    "20260112000000_add_service_providers_extra_headers",
    "20260121000000_add_request_logs_protocol_conversion",
    "20260123000000_remove_model_provider_unique_constraint",
    "20260131000000_add_service_providers_provider_options",
    "20260228000000_encrypt_api_keys",
]
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def test_the_history_begins_with_that_of_the_running_databases() -> None:
    assert [file.stem for file in FILES][: len(HISTORY)] == HISTORY


def test_the_history_is_one_line() -> None:
    chain = [(script.revision, script.down_revision) for script in scripts().walk_revisions()]
    assert chain == list(zip(REVISIONS, [None, *REVISIONS], strict=False))[::-1]


@each_file
def test_a_file_is_named_after_its_id_and_its_title(file: Path) -> None:
    script = scripts().get_revision(file.name[:14])
    assert Path(script.path) == file
    assert re.fullmatch(r"\d{14}", script.revision)
    title = script.doc.splitlines()[0]
    assert re.sub(r"\W+", "_", title.lower()).strip("_") == file.stem[15:]
    assert title.endswith(".")


@each_file
def test_a_docstring_says_revision_and_parent(file: Path) -> None:
    script = scripts().get_revision(file.name[:14])
    lines = script.longdoc.splitlines()
    assert [line for line in lines if line.startswith(("Revision:", "Parent:"))] == [
        f"Revision: {script.revision}",
        f"Parent:   {script.down_revision or ''}".rstrip(),
    ]


@each_file
def test_a_file_imports_nothing_that_may_change(file: Path) -> None:
    assert broken_by_revision(file.name, file.read_text(encoding="utf-8")) == []
