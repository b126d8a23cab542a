"""What autogenerate writes for a table with rows: whole texts, and the way there and back."""

import re
from pathlib import Path

import pytest
from alembic import command
from alembic.script import Script, ScriptDirectory

from app.migrations.errors import MigrationError
from app.migrations.lint import formatted, lint
from app.migrations.releases import with_release
from app.migrations.rules.stalls import Severity
from app.migrations.session import Session
from tests.support import sample_rows
from tests.support.alembic_in_process import HEAD, config, downgrade, upgrade
from tests.support.approved_texts import Approve
from tests.support.databases import ONE_A_DAY, everyday
from tests.support.editable_project import EditableProject
from tests.support.schema_dump import schema_of

EDITS = {
    "an index": 'sa.Index("users_created_at_idx", tables["users"].c.created_at, postgresql_concurrently=True)',
    "an index less": (
        'logs = tables["request_logs"]\nlogs.indexes = {i for i in logs.indexes if "status" not in i.name}'
    ),
    "a unique constraint": (
        'tables["users"].append_constraint(sa.UniqueConstraint("created_at", "id", name="users_new_key"))'
    ),
    "a column that refers": (
        'tables["request_logs"].append_column(sa.Column("owner_id", sa.Uuid, sa.ForeignKey("users.id")))'
    ),
    "a check": 'tables["request_logs"].append_constraint(sa.CheckConstraint("total_time_ms >= 0", name="time"))',
    "not null": 'for name in ("api_keys", "users"): tables[name].c.created_at.nullable = True',
    "a column and its index": (
        'tables["users"].append_column(sa.Column("nick", sa.String(50)))\n'
        'sa.Index("users_nick_idx", tables["users"].c.nick)'
    ),
    "a column less and its index": (
        'logs = tables["request_logs"]\n'
        'logs.indexes = {i for i in logs.indexes if "requested_model" not in i.columns}\n'
        "logs._columns.remove(logs.c.requested_model)"
    ),
    "a required column": 'tables["users"].append_column(sa.Column("nick", sa.String(50), nullable=False))',
    "a default for each row": (
        "from app.dialect_text import DialectText\n"
        'text = DialectText(postgresql="gen_random_uuid()::text", sqlite="hex(randomblob(16))")\n'
        'tables["users"].append_column(sa.Column("token", sa.String(50), nullable=False, server_default=text))'
    ),
    "a default for all rows": (
        'tables["users"].append_column(sa.Column("seen", sa.DateTime, server_default=sa.func.current_timestamp()))'
    ),
    "a small table": (
        'tables["api_keys"].info["small"] = True\nsa.Index("api_keys_idx", tables["api_keys"].c.created_at)'
    ),
    "a new table": (
        'id, a = sa.Column("id", sa.Integer, primary_key=True), sa.Column("a", sa.Text, index=True)\n'
        'sa.Table("notes", metadata, id, a)'
    ),
}


@pytest.mark.parametrize("edit", everyday(EDITS, ["a column and its index"]))
@pytest.mark.parametrize("head_url", ONE_A_DAY[:2], indirect=True)
def test_what_is_written_goes_there_and_back(
    edit: str, head_url: str, editable: EditableProject, approve: Approve
) -> None:
    sample_rows.fill(head_url, 1, 2, 3)
    editable.edit_models(EDITS[edit])
    start = schema_of(head_url)
    made = command.revision(config(head_url, editable.ini), "change it", autogenerate=True)
    scripts = [script for script in (made if isinstance(made, list) else [made]) if isinstance(script, Script)]
    files = [Path(script.path) for script in scripts]
    approve(f"stretches/{edit.replace(' ', '_')}.txt", "\n".join(_plain(file, scripts) for file in files))
    if edit == "a required column":
        with pytest.raises(MigrationError, match=r"users\.nick has no value for the rows that are there"):
            upgrade(head_url, "head", editable.ini)
        for file in files[1:]:
            _edit(file, "...", repr("'it''s %'"))
    if edit == "a column less and its index":
        _edit(
            files[-1], "\n\n\ndef", '\nacknowledged = {"drop_column request_logs.requested_model": "a test"}\n\n\ndef'
        )
    upgrade(head_url, "head", editable.ini)
    end = schema_of(head_url)
    command.check(config(head_url, editable.ini))
    history = ScriptDirectory.from_config(config(head_url, editable.ini))
    revisions = [history.get_revision(script.revision) for script in scripts]
    small = ["api_keys"] if edit == "a small table" else []
    found = lint(config(head_url, editable.ini), revisions, small=small)
    rules = {finding.stall.rule for finding in found.findings if finding.stall.severity is not Severity.NOTE}
    assert rules == set(), formatted(found, "text")
    # A required column has no snapshots before it is filled.
    assert bool(found.notes) is (edit in ("a required column", "a small table"))
    for script in reversed(scripts):  # each undoes itself
        here = schema_of(head_url)
        downgrade(head_url, "-1", editable.ini, accept=[script.revision])
        upgrade(head_url, "+1", editable.ini)
        assert schema_of(head_url) == here
        downgrade(head_url, "-1", editable.ini, accept=[script.revision])
    assert schema_of(head_url) == start
    upgrade(head_url, "head", editable.ini)
    assert schema_of(head_url) == end != start


@pytest.mark.parametrize("head_url", ONE_A_DAY, indirect=True)
def test_what_released_code_uses_is_held_back(head_url: str, editable: EditableProject, approve: Approve) -> None:
    editable.edit_models(EDITS["a column less and its index"])
    release(editable, HEAD)
    made, session = config(head_url, editable.ini), Session()
    made.attributes["schema"] = session
    assert command.revision(made, "change it", autogenerate=True) in (None, [])
    approve("stretches/held_back.txt", "\n".join(session.held_back).replace(HEAD, "<0>"))
    command.check(config(head_url, editable.ini))
    release(editable, HEAD, "request_logs.requested_model")
    command.revision(config(head_url, editable.ini), "change it", autogenerate=True)
    assert len([*editable.versions.glob("*_change_it.py")]) == 1


def release(editable: EditableProject, revision: str, unmapped: str = "") -> None:
    """Records a release in the project's alembic.ini."""
    text = editable.ini.read_text(encoding="utf-8")
    editable.ini.write_text(with_release(text, revision, unmapped.split()), encoding="utf-8")


def _edit(file: Path, old: str, new: str) -> None:
    file.write_text(file.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")


def _plain(file: Path, scripts: list[Script]) -> str:
    text = file.read_text(encoding="utf-8")
    for number, revision in enumerate([HEAD, *(script.revision for script in scripts)]):
        text = text.replace(revision, f"<{number}>")
    name = re.sub(r"^\d+", "<id>", file.name)
    return f"# {name}\n{text}"
