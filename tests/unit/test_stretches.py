"""The stretch of each operation that autogenerate writes, without a database."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy as sa
from alembic.operations import ops

from app.migrations.autogenerate.diffs import flat
from app.migrations.autogenerate.renames import RenameColumn, RenameTable
from app.migrations.autogenerate.steps.files import in_files
from app.migrations.autogenerate.steps.held_back import Released
from app.migrations.autogenerate.steps.keys import key_of
from app.migrations.autogenerate.steps.places import Stretch
from app.migrations.autogenerate.stretches import Part, parts_of
from app.migrations.operations import ExecuteOnOp, FillColumnOp
from app.migrations.phases import Phase
from app.migrations.releases import Release
from app.migrations.snapshots import Difference
from tests.support.approved_texts import Approve

_TABLES = sa.MetaData()
_USERS = sa.Table(
    "users",
    _TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    *(sa.Column(name, sa.Integer) for name in ("org", "mail", "nick", "other")),
)
_SMALL = sa.Table("small", _TABLES, sa.Column("id", sa.Integer), sa.Column("a", sa.Integer), info={"small": True})


def _add(name: str, table: str = "users", **options: Any) -> ops.AddColumnOp:
    return ops.AddColumnOp(table, sa.Column(name, sa.Integer, **options))


def _drop(name: str) -> ops.DropColumnOp:
    return ops.DropColumnOp("users", name, _reverse=_add(name))


def _index(name: str, *columns: str, table: str = "users", unique: bool = False) -> ops.CreateIndexOp:
    return ops.CreateIndexOp(name, table, [*columns], unique=unique)


def _unique(name: str, *columns: str) -> ops.CreateUniqueConstraintOp:
    return ops.CreateUniqueConstraintOp(name, "users", [*columns])


def _key(name: str, column: str, to: str = "orgs", source: str = "users") -> ops.CreateForeignKeyOp:
    return ops.CreateForeignKeyOp(name, source, to, [column], ["id"])


def _check(name: str, text: str) -> ops.CreateCheckConstraintOp:
    return ops.CreateCheckConstraintOp(name, "users", text)


def _null(column: str, table: str = "users", *, nullable: bool) -> ops.AlterColumnOp:
    options: dict[str, Any] = {"existing_nullable": not nullable, "modify_nullable": nullable}
    return ops.AlterColumnOp(table, column, existing_type=sa.Integer(), **options)


def _retype(column: str, old: Any, new: Any) -> ops.AlterColumnOp:
    return ops.AlterColumnOp("users", column, existing_type=old, modify_type=new)


def _default(column: str, old: Any, new: Any) -> ops.AlterColumnOp:
    options = {"existing_server_default": old, "modify_server_default": new}
    return ops.AlterColumnOp("users", column, existing_type=sa.Integer(), **options)


def _table(name: str, *items: Any) -> ops.CreateTableOp:
    return ops.CreateTableOp(name, [sa.Column("id", sa.Integer, primary_key=True), *items])


def _labels(old: list[str], new: list[str]) -> ExecuteOnOp:
    return ExecuteOnOp("postgresql", ["ALTER TYPE …"], ["DROP TYPE …"], [Difference("enum mood", "labels", new, old)])


def _volatile() -> sa.TextClause:
    return sa.text("gen_random_uuid()")


CASES: dict[str, tuple[list[Any], str]] = {
    "a table": ([_table("notes"), _index("i", "a", table="notes")], "ADDS: notes i"),
    "a column": ([_add("nick")], "ADDS: nick"),
    "a required column": ([_add("nick", nullable=False)], "ADDS: nick · FILLS: nick · REQUIRES: nick nick"),
    "a required column of a small table": (
        [_add("a", "small", nullable=False)],
        "ADDS: a · FILLS: a · REQUIRES: a a",
    ),
    "a required column with a default": ([_add("nick", nullable=False, server_default="1")], "ADDS: nick"),
    "a volatile default": (
        [_add("nick", nullable=False, server_default=_volatile())],
        "ADDS: nick nick · FILLS: nick nick",
    ),
    "a volatile default of a small table": ([_add("a", "small", server_default=_volatile())], "ADDS: a"),
    "an index": ([_index("i", "nick")], "BUILDS: i"),
    "a unique index": ([_index("i", "nick", unique=True)], "REQUIRES: i"),
    "an index on a new column": ([_add("nick"), _index("i", "nick")], "ADDS: nick · BUILDS: i"),
    "an index on a required column": (
        [_add("nick", nullable=False), _index("i", "nick")],
        "ADDS: nick · FILLS: nick i · REQUIRES: nick nick",
    ),
    "an index on a small table": ([_index("i", "a", table="small")], "ADDS: i"),
    "an index less": ([_index("i", "nick").reverse()], "REQUIRES: i"),
    "a unique index less": ([_index("i", "nick", unique=True).reverse()], "BUILDS: i"),
    "another index": ([_index("i", "nick").reverse(), _index("i", "nick", "mail")], "REQUIRES: i i"),
    "a unique constraint": ([_unique("u", "mail")], "REQUIRES: u"),
    "a unique constraint on a new column": ([_add("nick"), _unique("u", "nick", "mail")], "ADDS: nick · BUILDS: u"),
    "a unique constraint with a constant": (
        [_add("nick", server_default="1"), _unique("u", "nick", "mail")],
        "ADDS: nick · REQUIRES: u",
    ),
    "a unique constraint less": ([_unique("u", "mail").reverse()], "BUILDS: u"),
    "another unique constraint": (
        [_unique("u", "mail").reverse(), _unique("u", "org", "mail")],
        "BUILDS: u · REQUIRES: u",
    ),
    "a foreign key": ([_key("f", "org")], "REQUIRES: f"),
    "a foreign key of a new column": ([_add("nick"), _key("f", "nick")], "ADDS: nick · BUILDS: f"),
    "another foreign key": ([_key("f", "org").reverse(), _key("f", "org", "users")], "REQUIRES: f f"),
    "a foreign key to a new key": ([_unique("u", "mail"), _key("f", "other", "users", "users")], "REQUIRES: u f"),
    "a new table that refers to a new key": (
        [_unique("u", "mail"), _table("notes", sa.ForeignKeyConstraint(["id"], ["users.mail"], name="f"))],
        "ADDS: notes · REQUIRES: u f",
    ),
    "a new table that refers to a table": (
        [_index("i", "mail"), _table("notes", sa.ForeignKeyConstraint(["id"], ["users.id"], name="f"))],
        "ADDS: notes · BUILDS: i",
    ),
    "a check": ([_check("c", "mail > 0")], "REQUIRES: c"),
    "a check of a new column": ([_add("nick"), _check("c", "nick > 0")], "ADDS: nick · BUILDS: c"),
    "a check of a new column and another": ([_add("nick"), _check("c", "nick > mail")], "ADDS: nick · REQUIRES: c"),
    "a check of a required column": (
        [_add("nick", nullable=False), _check("c", "nick IS NOT NULL")],
        "ADDS: nick · FILLS: nick · REQUIRES: nick nick c",
    ),
    "another check": ([_check("c", "mail > 0").reverse(), _check("c", "mail > 1")], "BUILDS: c · REQUIRES: c"),
    "not null": ([_null("mail", nullable=False)], "REQUIRES: mail"),
    "not null of a small table": ([_null("a", "small", nullable=False)], "DROPS: a"),
    "no longer required": ([_null("mail", nullable=True)], "BUILDS: mail"),
    "a default": ([_default("mail", None, "1")], "ADDS: mail"),
    "a default less": ([_default("mail", "1", None)], "DROPS: mail"),
    "a longer text": ([_retype("mail", sa.String(9), sa.String(10))], "ADDS: mail"),
    "a shorter text": ([_retype("mail", sa.String(9), sa.String(8))], "ADDS: users · FILLS: users · CHANGES: users"),
    "a shorter text and an index": (
        [_retype("mail", sa.String(9), sa.String(8)), _index("i", "mail"), _index("j", "org")],
        "BUILDS: j · ADDS: users · FILLS: users · CHANGES: users · REQUIRES: i",
    ),
    "an index in the way of a type": (
        [_index("i", "mail").reverse(), _retype("mail", sa.Integer(), sa.Text()), _index("i", "mail")],
        "ADDS: i users · FILLS: users · CHANGES: users · REQUIRES: i",
    ),
    "a column less": ([_drop("mail")], "DROPS: mail"),
    "a column less and its index": (
        [_index("i", "mail", unique=True).reverse(), _drop("mail")],
        "REQUIRES: i · DROPS: mail",
    ),
    "a table less": ([_index("i", "id", table="notes").reverse(), _table("notes").reverse()], "DROPS: i notes"),
    "a table less and the key it refers to": (
        [_table("notes", sa.ForeignKeyConstraint(["id"], ["users.mail"])).reverse(), _unique("u", "mail").reverse()],
        "DROPS: notes u",
    ),
    "another column of the same name": ([_drop("mail"), _add("mail", nullable=False)], "DROPS: mail mail"),
    "a renamed column": (
        [RenameColumn("users", "mail", "nick"), _index("i", "nick"), _add("other")],
        "ADDS: other · CHANGES: mail · REQUIRES: i",
    ),
    "a renamed column and a longer text": (
        [RenameColumn("users", "mail", "nick"), _retype("nick", sa.String(9), sa.String(10))],
        "CHANGES: mail nick",
    ),
    "a renamed table": (
        [RenameTable("people", "users"), _add("other"), _index("i", "mail")],
        "CHANGES: people other · REQUIRES: i",
    ),
    "a label": ([_labels(["a"], ["a", "b"]), _default("mail", None, "b")], "LABELS: enum · ADDS: mail"),
    "a label less": ([_labels(["a", "b"], ["a"]), _add("nick")], "ADDS: nick · CHANGES: enum"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_operation_has_its_place_there_and_back(case: str) -> None:
    operations, expected = CASES[case]
    parts = parts_of(_script(operations), _TABLES, None)
    assert _shown(parts) == expected
    for part in parts:  # each undoes what it does, and nothing else
        there = {key_of(op, upgrade=True) for op in part.up if not isinstance(op, FillColumnOp)}
        back = {key_of(op, upgrade=False) for op in part.down}
        assert back <= there
        assert {key[0] for key in there - back} <= {"alter"}  # a default that goes with its column


def test_phases_follow_each_other() -> None:
    order = [stretch.phase for stretch in Stretch]
    assert order == sorted(order, key=[*Phase].index)


_SCHEMA: Any = {"table users": {}, **{f"column users.{name}": {} for name in ("id", "mail", "org")}}
HELD: dict[str, tuple[list[Any], str, str, list[str]]] = {
    "a column": ([_drop("mail")], "", "", ["users.mail"]),
    "a column that isn't mapped": ([_drop("mail")], "users.mail", "DROPS: mail", []),
    "a column that the release doesn't have": ([_drop("nick")], "", "DROPS: nick", []),
    "a column and its index": (
        [_index("i", "mail").reverse(), _index("j", "org").reverse(), _drop("mail")],
        "",
        "REQUIRES: j",
        ["users.mail"],
    ),
    "a required column": ([_add("other", nullable=False)], "", "ADDS: other · FILLS: other", ["users.other"]),
    "not null": ([_null("mail", nullable=False)], "", "REQUIRES: mail", []),
    "not null of a later column": ([_null("nick", nullable=False)], "", "", ["users.nick"]),
    "a check beside a column": ([_add("nick"), _check("c", "mail > 0")], "", "ADDS: nick", ["add constraint c"]),
}


@pytest.mark.parametrize("case", HELD)
def test_steps_wait_for_a_release(case: str, approve: Approve) -> None:
    operations, unmapped, expected, subjects = HELD[case]
    released = Released(Release("20260101000000", frozenset(filter(None, [unmapped]))), _SCHEMA, "")
    parts, lines = released.hold_back(parts_of(_script(operations), _TABLES, None))
    assert _shown(parts) == expected
    assert [subject for subject, line in zip(subjects, lines, strict=True) if subject not in line] == []
    if case in ("a column", "a required column"):
        approve(f"held_back/{case.replace(' ', '_')}.txt", "\n".join(lines))


PLAIN_CASES: dict[str, tuple[list[Any], list[str], list[Phase | None]]] = {
    "all of one phase": ([_add("nick"), _index("i", "nick")], ["nick i"], [Phase.EXPAND]),
    "two phases": ([_add("nick", nullable=False), _drop("mail")], ["nick mail"], [None]),
    "a label": (
        [_labels(["a"], ["a", "b"]), _drop("mail"), _index("i", "nick")],
        ["enum", "mail i"],
        [Phase.EXPAND, None],
    ),
}


@pytest.mark.parametrize("case", PLAIN_CASES)
def test_a_plain_revision_is_one_file(case: str) -> None:
    operations, expected, phases = PLAIN_CASES[case]
    script, arguments = _script(operations), dict[str, Any]()
    script.rev_id, context = "20260101000000", SimpleNamespace(connection=None, config=None, script=None)
    context.opts = {
        "plain": True,
        "target_metadata": _TABLES,
        "revision_context": SimpleNamespace(template_args=arguments),
    }
    others, lines = in_files(cast("Any", context), script)
    halves = [made.upgrade_ops for made in (script, *others)]
    assert [" ".join(map(_name, flat(half.ops))) for half in halves if half is not None] == expected
    assert [arguments["phases"].get(made.rev_id) for made in (script, *others)] == phases
    assert lines == []


def test_steps_wait_for_what_precedes_them() -> None:
    released = Released(Release("20260101000000", frozenset()), _SCHEMA, "20260102000000 (expand)")
    parts, lines = released.hold_back(parts_of(_script([_null("mail", nullable=False)]), _TABLES, None))
    assert (parts, len(lines)) == ([], 1)
    assert "20260102000000 (expand)" in lines[0]


def _script(operations: list[Any]) -> ops.MigrationScript:
    down = ops.DowngradeOps([operation.reverse() for operation in reversed(operations)])
    return ops.MigrationScript("1", ops.UpgradeOps([*operations]), down)


def _shown(parts: list[Part]) -> str:
    return " · ".join(f"{part.stretch.name}: {' '.join(map(_name, part.up))}" for part in parts if part.up)


def _name(operation: Any) -> str:
    if isinstance(operation, ExecuteOnOp):
        return "enum"
    names = ("index_name", "constraint_name", "column_name", "column")
    found = next((getattr(operation, name) for name in names if getattr(operation, name, None) is not None), None)
    return str(getattr(found, "name", None) or found or operation.table_name)
