"""Names in the models that are too long or missing: refused in one line, before a file is written."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command

from app.migrations.errors import ConfigurationError
from app.migrations.project import Project
from app.models.base import NAMING_CONVENTION
from app.project import PROJECT
from tests.support.alembic_in_process import HEAD, config
from tests.support.databases import At
from tests.support.editable_project import EditableProject

LONG = "a_name_of_64_bytes_which_is_one_more_than_postgresql_will_keep__"
ADD = 'tables["users"].append_column(sa.Column({}))'
TABLE = 'sa.Table("things", metadata, sa.Column("id", sa.Integer, primary_key=True), {})'
FAULTS = {
    "a column": (ADD.format(f'"{LONG}", sa.Integer'), f"the name of the column {LONG} of users has 64 bytes"),
    "a column of umlauts": (ADD.format('"ä" * 32, sa.Integer'), "has 64 bytes, and PostgreSQL keeps 63"),
    "a table": (TABLE.replace('"things"', f'"{LONG}"').format(""), f"the name of the table {LONG}"),
    "a table with a dot": (TABLE.replace('"things"', '"my.things"').format(""), "the table my.things has a dot"),
    "an index": (TABLE.format(f'sa.Index("{LONG}", "id")'), f"the name of the index {LONG} of things"),
    "a unique constraint": (TABLE.format(f'sa.UniqueConstraint("id", name="{LONG}")'), f"the unique {LONG} of things"),
    "a CHECK": (TABLE.format(f'sa.CheckConstraint("id > 0", name="{LONG}")'), "the name of the check"),
    "a foreign key": (
        TABLE.format(f'sa.Column("u", sa.ForeignKey("users.id", name="{LONG}"))'),
        f"the name of the foreignkey {LONG} of things",
    ),
    "a type": (TABLE.format(f'sa.Column("u", sa.Enum("x", name="{LONG}"))'), f"the name of the type {LONG} of things"),
    "a CHECK of an enumeration": (
        TABLE.format('sa.Column("u", sa.Enum("x", native_enum=False, create_constraint=True))'),
        "a CHECK of a column's type of things has no name",
    ),
    "a CHECK of a boolean": (
        TABLE.format('sa.Column("u", sa.Boolean(create_constraint=True))'),
        "a CHECK of a column's type of things has no name",
    ),
}


@pytest.mark.in_turn
@pytest.mark.parametrize("kind", FAULTS)
def test_a_name_that_will_not_do_is_refused_by_check_and_autogenerate(
    kind: str, editable: EditableProject, at: At
) -> None:
    edit, told = FAULTS[kind]
    editable.edit_models(edit)
    files = sorted(editable.versions.iterdir())
    made = config(at(HEAD), editable.ini)
    for compare in (command.check, lambda made: command.revision(made, "x", autogenerate=True)):
        with pytest.raises(ConfigurationError) as refusal:
            compare(made)
        assert told in str(refusal.value)
        assert "\n" not in str(refusal.value)
    assert sorted(editable.versions.iterdir()) == files


@pytest.mark.exhaustive
def test_a_name_by_a_convention_is_cut_as_sqlalchemy_does(editable: EditableProject, at: At) -> None:
    columns = [f"a_rather_long_name_of_a_column_{n}" for n in range(3)]
    listed = ", ".join(f'sa.Column("{name}", sa.Integer)' for name in columns)
    editable.edit_models(TABLE.format(f"{listed}, sa.UniqueConstraint({', '.join(map(repr, columns))})"))
    made = config(at(HEAD), editable.ini)
    command.revision(made, "x", autogenerate=True)
    command.upgrade(made, "head")
    command.check(made)


@pytest.mark.exhaustive
def test_without_a_convention_only_a_check_needs_a_name(editable: EditableProject, at: At) -> None:
    edit = "metadata.naming_convention = sa.MetaData().naming_convention\n" + TABLE.replace(
        "{}", 'sa.Column("n", sa.Integer, unique=True), {}'
    )
    made = config(at(HEAD), editable.ini)
    editable.edit_models(edit.format('sa.CheckConstraint("id > 0")'))
    with pytest.raises(ConfigurationError, match=r"a CHECK \(id > 0\) of things has no name, by which it is compared"):
        command.revision(made, "x", autogenerate=True)
    editable.edit_models(edit.format('sa.CheckConstraint("id > 0", name="positive")'))
    command.revision(made, "x", autogenerate=True)


@pytest.mark.parametrize("arguments", ['sa.CheckConstraint("id > 0")', 'sa.Column("n", sa.Integer), "nothing"'])
def test_models_that_sqlalchemy_refuses_are_one_line(arguments: str, tmp_path: Path) -> None:
    def base() -> type:
        metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)
        exec(TABLE.format(arguments), {"sa": sa, "metadata": metadata})  # noqa: S102 - as models.py
        raise AssertionError("not refused")

    with pytest.raises(ConfigurationError, match=r"^The models can't be loaded \([^)]+ line \d+\): [^\n]+$"):
        Project(tmp_path, base, PROJECT.database_url).metadata()
