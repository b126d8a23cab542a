"""The page of `schema docs`: every part of a table, and a stale page."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.migrations import commands
from app.migrations.commands.schema_page import document
from app.migrations.errors import DriftDetected
from app.migrations.run import connections
from app.partitions import Partitioned
from app.project import PROJECT
from app.triggers import UpdatedAtTrigger
from tests.support.alembic_in_process import History
from tests.support.approved_texts import Approve
from tests.support.environment import ROOT


def test_a_stale_page_is_told_and_written_anew(tmp_path: Path) -> None:
    file = tmp_path / "docs" / "schema.md"
    with pytest.raises(DriftDetected, match="schema docs") as missing:
        commands.write_page(PROJECT, tmp_path, check=True)
    assert (missing.value.exit_code, "\n" in str(missing.value), file.exists()) == (8, False, False)
    assert commands.write_page(PROJECT, tmp_path) == Path("docs/schema.md")
    assert file.read_text(encoding="utf-8") == (ROOT / "docs" / "schema.md").read_text(encoding="utf-8")
    file.write_text("stale", encoding="utf-8")
    with pytest.raises(DriftDetected):
        commands.write_page(PROJECT, tmp_path, check=True)
    assert file.read_text(encoding="utf-8") == "stale"


def test_every_table_column_and_revision_is_in_it() -> None:
    from app.models import Base

    page = (ROOT / "docs" / "schema.md").read_text(encoding="utf-8")
    for table in Base.metadata.tables.values():
        section = page.split(f"\n### {table.name}\n")[1].partition("\n#")[0]
        assert str(table.comment) in section
        for column in table.columns:
            assert f"| `{column.name}` | {column.comment} |" in section
    for revision in connections.history(PROJECT).walk_revisions():
        assert f"(../alembic/versions/{Path(revision.path).name})" in page
    assert page.count("](../") == len(list((ROOT / "alembic" / "versions").glob("*.py")))


def test_the_parts_of_a_page(history: History, approve: Approve) -> None:
    metadata = sa.MetaData()
    sa.Table("alone", metadata, sa.Column("x", sa.Integer, comment="A | *bold* `word` in [brackets]."))
    owners = sa.Table(
        "owners",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("boss", sa.Integer, sa.ForeignKey("owners.id")),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.current_timestamp(), nullable=False),
        Partitioned(by="updated_at", every="week", keep="90 days"),
        comment="Who owns.",
    )
    UpdatedAtTrigger(owners)
    things = sa.Table(
        "things",
        metadata,
        sa.Column("owner", sa.Integer, sa.ForeignKey("owners.id", ondelete="SET NULL"), unique=True),
        sa.Column("a", sa.Numeric(12, 4), server_default="it's"),
        sa.Column("b", sa.Uuid, default="made", nullable=False),
        sa.PrimaryKeyConstraint("a", "b"),
        sa.UniqueConstraint("b", "a", name="things_b_a_key"),
        sa.CheckConstraint("a > 0 OR a < -1", name="a_is_big"),
    )
    sa.Index("idx_lower", sa.func.lower(things.c.b), things.c.a)
    sa.Index("idx_b", things.c.b, unique=True)
    history.add("pass")
    history.add("pass")
    approve("schema_page.md", document(metadata, ScriptDirectory.from_config(Config(history.ini))))
    assert document(sa.MetaData(), ScriptDirectory.from_config(Config(history.ini))).startswith("# The schema\n")
