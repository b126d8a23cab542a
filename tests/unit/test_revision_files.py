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
    "20260301090000_add_revoked_tokens",
    "20260301090100_add_jwt_key_rotation",
    "20260301090200_add_service_registry_last_api_key_rotated_at",
    "20260301090300_add_key_value_store",
    "20260301090400_add_request_log_details",
    "20260320090000_add_request_logs_request_url",
    "20260402090000_add_request_logs_user_id",
    "20260402090001_index_request_logs_by_user_id",
    "20260425090000_drop_request_logs_provider_id_foreign_key",
    "20260510090000_index_request_logs_by_trace_id",
    "20260616090000_add_model_mappings_cache_creation_input_price",
    "20260616090001_add_model_mapping_providers_cache_creation_input_price",
    "20260618090000_add_api_keys_record_details",
    "20260625090000_add_service_providers_response_timeout_seconds",
    "20260711090000_add_api_keys_is_mcp_admin",
    "20260712090000_add_model_mapping_providers_paused_until",
    "20260713090000_add_request_logs_is_completed",
    "20260713090001_index_request_logs_by_completion_and_time",
    "20260801090000_add_api_keys_key_hash",
    "20260801090001_index_api_keys_by_key_hash",
    "20260901090000_add_request_log_details_request_time",
    "20260901090001_index_request_log_details_by_request_time",
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
