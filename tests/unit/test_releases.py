"""`schema release`: what it writes into alembic.ini, and what it leaves alone."""

import configparser
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import DeclarativeBase, Mapped, Unmapped, column_property, mapped_column, relationship

from app.migrations import Project, commands
from app.migrations.errors import ConfigurationError, HistoryError
from app.migrations.releases import Release, read_release, with_release
from app.project import PROJECT
from tests.support.alembic_in_process import HEAD
from tests.support.approved_texts import Approve, plain
from tests.support.editable_project import EditableProject
from tests.support.schema_in_process import schema

FILES = {
    "empty": "",
    "without a section": "[alembic]\nscript_location = alembic\n",
    "without a last end of line": "[alembic]\nscript_location = alembic\n\n[schema]\nunmanaged = a",
    "at the end": "# first\n[schema]\n# what is another tool's\nunmanaged = a,\n    b\n\n[alembic]\nreleased = no\n",
    "with values": "[schema]\nreleased = 1 ; not a comment\n# why\nunmapped: a,\n  # a comment\n  b\n\n  c\nx = 1\n",
    "indented": "[schema]\n  snapshots = a\n   b\n  Released=2\n  other = x\n[z]\n",
    "with another end of line": "[alembic]\r\n; x\r\n[schema]\r\nreleased =\r\n\r\n[z]\r\n",
}


def values(text: str) -> dict[str, dict[str, str]]:
    """What ConfigParser reads, but for the two options."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def comments(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip().startswith(("#", ";"))]


@pytest.mark.parametrize("name", FILES)
def test_all_but_the_release_stays_as_it_is(name: str, approve: Approve) -> None:
    after = with_release(FILES[name], "20260228000000", ["users.legacy", "old_table"])
    approve(f"release/{name.replace(' ', '_')}.txt", after.replace("\r", "\\r"))
    assert with_release(after, "20260228000000", ["old_table", "users.legacy"]) == after


_WORDS = st.sampled_from(["a", "b", "released_by", "unmapped", "Released", "x y"])
_LINES = st.one_of(
    st.builds(lambda name: f"[{name}]", st.sampled_from(["schema", "alembic", "z"])),
    st.builds(
        lambda indent, name, sign, value: f"{indent}{name}{sign}{value}",
        st.sampled_from(["", "", " ", "    "]),
        _WORDS,
        st.sampled_from(["=", " = ", ":"]),
        st.sampled_from(["", "1", "[schema]", "é # no comment"]),
    ),
    st.sampled_from(["", "  ", "# why", "  ; why", "   more", "   # released = 5"]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_LINES, max_size=12), st.sampled_from(["\n", "\r\n"]), st.booleans())
@example(["[schema]", "  a=1", "  released=1", "    more"], "\n", False)
def test_any_file_that_can_be_read_can_be_written(lines: list[str], end: str, ended: bool) -> None:
    text = end.join(lines) + (end if ended else "")
    try:
        before = values(text)
    except configparser.Error:
        return
    after = with_release(text, "20260228000000", ["users.b", "users.a"])
    expected = before | {
        "schema": before.get("schema", {}) | {"released": "20260228000000", "unmapped": "users.a, users.b"}
    }
    assert values(after) == expected
    assert comments(after) == comments(text)
    assert {line.strip("\r") for line in after.split("\n")} >= {"released = 20260228000000"} or " released = " in after
    assert ("\r" in after) <= (end == "\r\n")
    assert with_release(after, "20260228000000", ["users.b", "users.a"]) == after
    kept = [line for line in text.splitlines() if line.strip()]
    added = [line for line in after.splitlines() if line.strip() and line not in kept]
    assert {line.strip().partition(" ")[0] for line in added} <= {"released", "unmapped", "[schema]"}


# --- what isn't used ----------------------------------------------------------


class Base(DeclarativeBase):
    """Models that leave columns out in every way."""


links = sa.Table(
    "links", Base.metadata, sa.Column("a", sa.ForeignKey("users.id")), sa.Column("b", sa.ForeignKey("users.id"))
)


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    _name: Mapped[str] = mapped_column("name")
    legacy: Unmapped[str | None]
    shown: Unmapped[str | None]
    nick: Mapped[str | None] = column_property(sa.Column("nick", sa.Text))
    friends: Mapped[list["User"]] = relationship(
        secondary=links, primaryjoin=lambda: User.id == links.c.a, secondaryjoin=lambda: User.id == links.c.b
    )


User.label = column_property(User.__table__.c.shown + "!")


class Other(Base):
    __tablename__ = "others"
    __mapper_args__ = {"exclude_properties": ["left_out"]}  # noqa: RUF012 - SQLAlchemy's
    id: Mapped[int] = mapped_column(primary_key=True)
    __table_args__ = (sa.Column("left_out", sa.Text),)


SNAPSHOT: dict[str, Any] = {
    name: {}
    for name in [
        *("table users", "column users.id", "column users.name", "column users.legacy", "column users.shown"),
        *("column users.nick", "column users.gone", "column users.with space", "table links", "column links.a"),
        *("column links.c", "table others", "column others.id", "column others.left_out", "table old", "column old.a"),
        *("table schema_ledger", "index users.i"),
    ]
}


@pytest.fixture
def project(editable: EditableProject) -> Project:
    (editable.snapshots / "postgresql" / f"{HEAD}.json").write_text(json.dumps(SNAPSHOT), encoding="utf-8")
    return replace(PROJECT, base=lambda: Base)


def test_what_no_mapper_reads_or_writes_is_listed(project: Project) -> None:
    done = commands.release(project)
    assert done.unmapped == ["old", "users.legacy", "users.gone", "links.c", "others.left_out"]
    found = read_release(project.config())
    assert found == Release(HEAD, frozenset(done.unmapped))
    assert [
        found.uses(*name) for name in [("users", "legacy"), ("users", "id"), ("users",), ("old", "a"), ("old",)]
    ] == [
        False,
        True,
        True,
        False,
        False,
    ]
    assert (done.changed, commands.release(project).changed) == (True, False)


@pytest.mark.usefixtures("editable")
def test_the_models_of_today_use_all_of_head() -> None:
    assert commands.release(PROJECT).unmapped == []


# --- the command --------------------------------------------------------------


def run(editable: EditableProject, *args: str) -> tuple[int, str, str]:
    done = schema("release", *args, ALEMBIC_CONFIG=str(editable.ini))
    return done.returncode, plain(done.stdout, editable.folder), plain(done.stderr, editable.folder)


def test_the_command_says_what_it_wrote(editable: EditableProject, approve: Approve) -> None:
    before = editable.ini.read_text(encoding="utf-8")
    said = []
    for args in ("", "", "20260131000000", "--json", "20990101000000"):
        code, output, errors = run(editable, *args.split())
        said.append(f"$ schema release {args}".rstrip() + f"\n{output}{errors}({code})\n")
    approve("release/command.txt", "".join(said))
    after = editable.ini.read_text(encoding="utf-8")
    assert after == before.replace("released =\n", f"released = {HEAD}\n")


def test_a_revision_without_a_snapshot_is_refused(editable: EditableProject) -> None:
    (editable.snapshots / "postgresql" / f"{HEAD}.json").unlink()
    with pytest.raises(HistoryError, match=f"{HEAD} has no snapshot for postgresql"):
        commands.release(PROJECT)


@pytest.mark.usefixtures("editable")
def test_a_file_that_cant_be_written_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_file: Path, _text: bytes) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(ConfigurationError, match=r"alembic\.ini: the release can't be written there \(Permission d"):
        commands.release(PROJECT)


def test_bytes_of_another_encoding_stay() -> None:
    text = with_release("[schema]\n# caf\udce9\n", "1", [])
    assert "# caf\udce9\n" in text
