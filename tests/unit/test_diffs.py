"""Alembic's differences, as they are described and as the objects that they concern."""

from typing import Any

import pytest
import sqlalchemy as sa
from alembic.operations import ops

from app.migrations.autogenerate import changes_of, describe, flat
from app.triggers import UPDATED_AT_FUNCTION, updated_at_trigger

METADATA = sa.MetaData()
USERS = sa.Table("users", METADATA, sa.Column("id", sa.Integer, primary_key=True), comment="People.")
NOTES = sa.Table(
    "notes",
    METADATA,
    sa.Column("owner", sa.Integer, sa.ForeignKey("users.id", name="notes_owner_fkey")),
    sa.Column("text", sa.Text),
    sa.Index("notes_text_idx", "text"),
    sa.UniqueConstraint("text"),
)
(INDEX,) = NOTES.indexes
(FOREIGN_KEY,) = NOTES.foreign_key_constraints
(UNIQUE,) = [constraint for constraint in NOTES.constraints if isinstance(constraint, sa.UniqueConstraint)]
LONGER: Any = ("modify_type", None, "notes", "text", {}, sa.String(5), sa.String(9))
DEFAULT: Any = ("modify_default", None, "notes", "text", {}, None, sa.DefaultClause(sa.text("'a'")))

DESCRIBED: dict[str, Any] = {
    "add table notes": ("add_table", NOTES),
    "drop table users": ("remove_table", USERS),
    "add table comment users": ("add_table_comment", USERS, None),
    "drop table comment users": ("remove_table_comment", USERS),
    "add column notes.text": ("add_column", None, "notes", NOTES.c.text),
    "drop column notes.text": ("remove_column", None, "notes", NOTES.c.text),
    "change type of notes.text from VARCHAR(5) to VARCHAR(9)": LONGER,
    "change default of notes.text from none to 'a'": [DEFAULT],
    "rename table notes to lists": ("rename_table", "notes", "lists"),
    "rename column notes.text to body": ("rename_column", "notes.text", "body"),
    "add index notes_text_idx of notes": ("add_index", INDEX),
    "drop index notes_text_idx of notes": ("remove_index", INDEX),
    "add constraint (unnamed) of notes": ("add_constraint", UNIQUE),
    "drop foreign key notes_owner_fkey of notes": ("remove_fk", FOREIGN_KEY),
    "add trigger update_notes_updated_at of notes": ("add_trigger", updated_at_trigger("notes")),
    "drop trigger update_notes_updated_at of notes": ("remove_trigger", "update_notes_updated_at", "notes"),
    "add trigger function update_updated_at_column": ("add_trigger_function", UPDATED_AT_FUNCTION),
    "drop trigger function update_updated_at_column": ("remove_trigger_function", "update_updated_at_column"),
    "validate constraint notes_text_check of notes": ("validate_constraint", "notes_text_check", "notes"),
}
CONCERNED: dict[str, tuple[Any, set[str], set[str]]] = {
    "a table": (("add_table", NOTES), {"notes"}, set()),
    "another table name": (("rename_table", "notes", "lists"), {"notes", "lists"}, set()),
    "another column name": (("rename_column", "notes.text", "body"), {"notes.text", "notes.body"}, set()),
    "two facts of a column": ([LONGER, DEFAULT], {"notes.text"}, set()),
    "an index": (("add_index", INDEX), {"notes.notes_text_idx"}, {"notes.text"}),
    "a foreign key": (("add_fk", FOREIGN_KEY), {"notes.notes_owner_fkey"}, {"notes.owner", "users.id"}),
    "a function": (("remove_trigger_function", "touch"), {"touch()"}, set()),
}


@pytest.mark.parametrize("text", DESCRIBED)
def test_a_difference_is_described(text: str) -> None:
    assert describe(DESCRIBED[text]) == text


@pytest.mark.parametrize("case", CONCERNED)
def test_a_difference_names_what_it_concerns(case: str) -> None:
    diff, addresses, built_on = CONCERNED[case]
    changes = changes_of(diff)
    assert set().union(*(change.addresses for change in changes)) == addresses
    assert set().union(*(change.built_on for change in changes)) == built_on


def test_operations_inside_of_containers_are_found() -> None:
    drop, add = ops.DropTableOp("users"), ops.AddColumnOp("notes", sa.Column("mood", sa.Text))
    assert list(flat([ops.UpgradeOps([ops.ModifyTableOps("notes", [add]), drop])])) == [add, drop]
