"""`alembic revision --autogenerate` on SQLite sees what only PostgreSQL shows, and says it in the same words."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.script import Script

from tests.support.alembic_in_process import config
from tests.support.drift_cases import HEAD
from tests.support.editable_project import EditableProject

COMPARED = f"Comments, time zones and array defaults were compared with PostgreSQL's snapshot of {HEAD}."
EDITS = {
    "a comment of a column": 'tables["users"].c.id.comment = "Another."',
    "a comment less": 'tables["users"].c.id.comment = None',
    "a comment of a table": 'tables["api_keys"].comment = "It\'s another."',
    "no comment of a table": 'tables["api_keys"].comment = None',
    "a time zone": (
        'from app.models.base import UtcDateTime\ntables["api_keys"].c.last_used_at.type = UtcDateTime(timezone=True)'
    ),
    "no time zone": 'tables["users"].c.created_at.type = sa.DateTime()',
    "a default of an array": (
        "from app.dialect_text import DialectText\n"
        'tables["service_registry"].c.allowed_scopes.server_default = '
        "sa.DefaultClause(DialectText(postgresql=\"ARRAY['read']::text[]\", sqlite=\"'[]'\"))"
    ),
    "a larger integer": ('from app.models.base import BIG_ID\ntables["model_mapping_providers"].c.id.type = BIG_ID'),
    "what both show, and a comment": (
        'column = tables["service_providers"].c.remark\ncolumn.type = sa.String(50)\ncolumn.comment = "Short."'
    ),
    "a column more, one less": (
        'tables["api_keys"]._columns.remove(tables["api_keys"].c.last_used_at)\n'
        'tables["users"].append_column(sa.Column("nick", sa.String(50), comment="Theirs."))\n'
        'tables["users"]._columns.remove(tables["users"].c.github_token_expires_at)'
    ),
    "several tables": (
        'for name in ("users", "api_keys", "request_logs"): tables[name].c.id.comment = "Another."\n'
        'sa.Index("users_created_at_idx", tables["users"].c.created_at)'
    ),
    "nothing": "",
}


EVERY_DAY = {"a time zone", "a default of an array", "a column more, one less", "several tables", "nothing"}


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(edit, id=name, marks=[] if name in EVERY_DAY else [pytest.mark.exhaustive])
        for name, edit in EDITS.items()
    ],
)
def test_the_revision_is_that_of_postgresql(
    edit: str, editable: EditableProject, heads: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.migrations")
    editable.edit_models(edit)
    written = [_revision(heads(where), editable) for where in ("sqlite", "postgresql")]
    assert COMPARED in caplog.text
    assert written[0] == written[1]
    assert bool(edit) == ("op." in written[0])


def test_without_a_snapshot_it_says_what_was_not_compared(
    editable: EditableProject, heads: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.migrations")
    (editable.snapshots / "postgresql" / f"{HEAD}.json").unlink()
    editable.edit_models(EDITS["a comment of a column"])
    assert _revision(heads("sqlite"), editable) == ""
    assert "which SQLite can't show, were not compared" in caplog.text
    assert "schema snapshot" in caplog.text


def _revision(url: str, editable: EditableProject) -> str:
    """The functions of the revision that is written, and removed again."""
    made = command.revision(config(url, editable.ini), "test", autogenerate=True)
    if not isinstance(made, Script):
        return ""
    text = Path(made.path).read_text(encoding="utf-8")
    Path(made.path).unlink()
    return text[text.index('"""', 3) + 3 : text.index("\nrevision =")] + text[text.index("def upgrade") :]
