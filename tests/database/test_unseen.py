"""`alembic revision --autogenerate` on SQLite sees what only PostgreSQL shows, and says it in the same words."""

import logging
from collections.abc import Callable

import pytest
from alembic import command

from app.migrations.autogenerate import postgresql_only, stand_in
from tests.support.alembic_in_process import HEAD, config
from tests.support.editable_project import EditableProject

pytestmark = pytest.mark.in_turn

COMPARED = f"Compared on a throw-away PostgreSQL, which was made from the snapshot of {HEAD}."
PARTLY = f"Comments and types were compared with PostgreSQL's snapshot of {HEAD}; what only PostgreSQL has of defaults"
# Only a server spells a default, and has the sequence of a column.
ON_A_SERVER = {"a default of an array": "allowed_scopes", "a larger integer": "ALTER SEQUENCE"}
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


EVERY_DAY = {"a default of an array"}


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


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(edit, id=name, marks=[] if name == "nothing" else [pytest.mark.exhaustive])
        for name, edit in EDITS.items()
    ],
)
def test_without_the_extra_comments_and_types_are_those_of_postgresql(
    edit: str,
    editable: EditableProject,
    heads: Callable[[str], str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, "app.migrations")
    editable.edit_models(edit)
    on_postgresql = _revision(heads("postgresql"), editable)
    for module in (stand_in, postgresql_only):
        monkeypatch.setattr(module, "find_spec", lambda _: None)
    written = _revision(heads("sqlite"), editable)
    only_there = next((word for name, word in ON_A_SERVER.items() if EDITS[name] == edit), None)
    assert (written == on_postgresql) is (only_there is None)
    assert only_there is None or (only_there in on_postgresql and only_there not in written)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith(PARTLY)]
    assert len(lines) == 1
    assert lines[0].endswith('pip install -e ".[author]"')
    assert "\n" not in lines[0]


def test_without_a_snapshot_it_says_what_was_not_compared(
    editable: EditableProject, heads: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.migrations")
    (editable.snapshots / "postgresql" / f"{HEAD}.json").unlink()
    editable.edit_models(EDITS["a comment of a column"])
    assert _revision(heads("sqlite"), editable) == ""
    assert "What SQLite can't show, such as comments and time zones, was not compared." in caplog.text
    assert "schema snapshot" in caplog.text


def _revision(url: str, editable: EditableProject) -> str:
    """The functions of the revisions that are written, and removed again."""
    before = set(editable.versions.glob("*.py"))
    command.revision(config(url, editable.ini), "test", autogenerate=True)
    made = sorted(set(editable.versions.glob("*.py")) - before)
    written = ""
    for path in made:
        text = path.read_text(encoding="utf-8")
        written += text[text.index('"""', 3) + 3 : text.index("\nrevision =")] + text[text.index("def upgrade") :]
        path.unlink()
    return written
