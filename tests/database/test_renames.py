"""Renames: what is declared, what is refused, and what the revision then does to rows."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import produce_migrations
from alembic.operations import Operations, ops
from alembic.runtime.migration import MigrationContext

from app import db
from app.migrations.autogenerate import PLUGINS
from tests.support.alembic_in_process import HEAD, downgrade, upgrade, upgrade_script
from tests.support.approved_texts import Approve
from tests.support.database_access import run_script
from tests.support.databases import ONE_A_DAY, At
from tests.support.sample_rows import Values, fill, values_in
from tests.support.schema_dump import schema_of
from tests.support.source_copy import SourceCopy, timeless

ASKED_MODEL = """\
    asked_model: Mapped[str | None] = mapped_column(
        sa.String(100), info={"renamed_from": "requested_model"}, comment="Model that the client asked for."
    )"""
CLIENTS = [
    ('        {"comment": "Clients', '        {"info": {"renamed_from": "api_keys"}, "comment": "Clients'),
    # a table that others refer to, with a column that is unique, and gets longer
    (
        '    __tablename__ = "api_keys"\n    __table_args__ = (\n',
        '    __tablename__ = "clients"\n    __table_args__ = (\n',
    ),
    (
        "    key_name: Mapped[str] = mapped_column(sa.String(100), unique=True,",
        '    name: Mapped[str] = mapped_column(sa.String(200), info={"renamed_from": "key_name"}, unique=True,',
    ),
]
GATEWAY = [
    # a primary key that others refer to
    (
        "    requested_model: Mapped[str] = mapped_column(sa.String(100), primary",
        '    model: Mapped[str] = mapped_column(sa.String(100), info={"renamed_from": "requested_model"}, primary',
    ),
    ('sa.ForeignKey("model_mappings.requested_model"', 'sa.ForeignKey("model_mappings.model"'),
]
LOGS = [
    ('sa.ForeignKey("api_keys.id")', 'sa.ForeignKey("clients.id")'),
    # a column in indexes that keep their names
    (
        '    requested_model: Mapped[str | None] = columns.string(100, "Model that the client asked for.")',
        ASKED_MODEL,
    ),
    ('"request_time", "requested_model"', '"request_time", "asked_model"'),
    ('"idx_request_logs_model", "requested_model"', '"idx_request_logs_model", "asked_model"'),
]
AUTH = [
    # a table with a trigger
    ('__tablename__ = "service_registry"', '__tablename__ = "services"'),
    (
        '{"comment": "Downstream services that',
        '{"info": {"renamed_from": "service_registry"}, "comment": "Downstream services that',
    ),
    # a column in a unique constraint whose name follows
    (
        "    github_user_id: Mapped[int] = mapped_column(sa.BigInteger,",
        '    github_id: Mapped[int] = mapped_column(sa.BigInteger, info={"renamed_from": "github_user_id"},',
    ),
]
TABLES = {"api_keys": "clients", "service_registry": "services"}
COLUMNS = {
    "api_keys.key_name": "name",
    "model_mappings.requested_model": "model",
    "request_logs.requested_model": "asked_model",
    "users.github_user_id": "github_id",
}


def renamed(values: Values) -> Values:
    """Values as they should be found under the new names."""
    return {
        TABLES.get(table, table): {COLUMNS.get(f"{table}.{name}", name): found for name, found in columns.items()}
        for table, columns in values.items()
    }


@pytest.mark.exhaustive
@pytest.mark.parametrize("at", ONE_A_DAY, indirect=True)
def test_declared_renames_keep_every_row_both_ways(source_copy: SourceCopy, at: At, approve: Approve) -> None:
    url = at(HEAD)
    fill(url, 0, 1, 2)
    schema, values = schema_of(url), values_in(url)
    source_copy.edit("gateway.py", *GATEWAY)
    source_copy.edit("client_keys.py", *CLIENTS)
    source_copy.edit("request_logs.py", *LOGS)
    source_copy.edit("auth.py", *AUTH)
    done = source_copy.edited("revision", "--autogenerate", "-m", "rename much", url=url)
    assert done.returncode == 0, done.stderr
    approve("renamed.txt", timeless(*source_copy.written()))

    upgrade(url, ini=source_copy.ini)
    assert source_copy.edited("check", url=url).returncode == 0
    offline = at(HEAD)
    run_script(offline, upgrade_script(offline, f"{HEAD}:head", source_copy.ini))
    assert schema_of(offline) == schema_of(url)
    assert values_in(url) == renamed(values)
    downgrade(url, HEAD, ini=source_copy.ini)
    assert schema_of(url) == schema
    assert values_in(url) == values


# --- nobody has said so ---------------------------------------------------------------------------------------

GUESSES = [
    ('__tablename__ = "service_audit_logs"', '__tablename__ = "audit_logs"'),
    ("    github_token_expires_at: Mapped", "    expires_at: Mapped"),
]


@pytest.mark.exhaustive
def test_a_possible_rename_is_refused_with_both_ways_out(
    source_copy: SourceCopy,
    sqlite_head: str,
    approve: Approve,
) -> None:
    url = sqlite_head
    source_copy.edit("auth.py", *GUESSES)
    done = source_copy.edited("revision", "--autogenerate", "-m", "rename", url=url)
    assert (done.returncode, source_copy.written()) == (2, [])
    approve("renames_refused.txt", done.stderr)

    both = ["-x", "not-a-rename=users.github_token_expires_at", "-x", "not-a-rename=service_audit_logs"]
    done = source_copy.edited(*both, "revision", "--autogenerate", "-m", "drop and add", url=url)
    assert done.returncode == 0, done.stderr
    text = timeless(*source_copy.written())
    for call in ('drop_table("service_audit_logs"', 'create_table(\n        "audit_logs"', 'drop_column("users"'):
        assert f"op.{call}" in text
    assert "rename" not in text.replace("op.f(", "")


# --- what comes of it, table by table -------------------------------------------------------------------------

Tables = Callable[[sa.MetaData], object]


def parents(metadata: sa.MetaData, name: str = "parents", key: str = "id", **options: Any) -> sa.Table:
    columns = (
        sa.Column(key, sa.Integer, primary_key=True, info=options.pop("column", {})),
        sa.Column("size", sa.Integer),
    )
    return sa.Table(name, metadata, *columns, **options)


def child(metadata: sa.MetaData, target: str, column: str = "parent", **info: str) -> sa.Table:
    foreign = sa.ForeignKey(target, name="child_parent_fkey", ondelete="CASCADE")
    columns = sa.Column("id", sa.Integer, primary_key=True), sa.Column(column, sa.Integer, foreign, info=info)
    return sa.Table("child", metadata, *columns)


def nick(metadata: sa.MetaData, name: str, kind: Any, *items: Any, **options: Any) -> sa.Table:
    return sa.Table(
        "users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column(name, kind, **options), *items
    )


def family(metadata: sa.MetaData, table: str, key: str, column: dict[str, str], **info: dict[str, str]) -> None:
    parents(metadata, table, key, column=column, **info)
    child(metadata, f"{table}.{key}")


def tree(metadata: sa.MetaData, name: str, **options: Any) -> None:
    above = sa.Column("above", sa.Integer, sa.ForeignKey(f"{name}.id", name="tree_above_fkey"))
    sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True), above, **options)


OLD_NICK = {"renamed_from": "nick"}
CASES: dict[str, tuple[Tables, Tables, list[str]]] = {
    "another type, and NOT NULL": (
        lambda m: nick(m, "nick", sa.String(10)),
        lambda m: nick(m, "alias", sa.String(20), nullable=False, info=OLD_NICK),
        ["rename_column users.nick alias", "modify_type", "modify_nullable"],
    ),
    "an index and a unique constraint of the same name": (
        lambda m: nick(m, "nick", sa.Text, sa.Index("i", "nick", "id"), sa.UniqueConstraint("nick", "id", name="u")),
        lambda m: nick(
            m,
            "alias",
            sa.Text,
            sa.Index("i", "alias", "id"),
            sa.UniqueConstraint("alias", "id", name="u"),
            info=OLD_NICK,
        ),
        ["rename_column users.nick alias"],
    ),
    "an index of another name": (
        lambda m: nick(m, "nick", sa.Text, sa.Index("i", "nick")),
        lambda m: nick(m, "alias", sa.Text, sa.Index("j", "alias"), info=OLD_NICK),
        ["remove_index", "rename_column users.nick alias", "add_index"],
    ),
    "a table and the key that others refer to": (
        lambda m: family(m, "parents", "id", {}),
        lambda m: family(m, "elders", "key", {"renamed_from": "id"}, info={"renamed_from": "parents"}),
        ["rename_table parents elders", "rename_column elders.id key"],
    ),
    "a table, while a column comes and one goes": (
        parents,
        lambda m: sa.Table(
            "elders",
            m,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("weight", sa.Text),
            sa.Index("i", "weight"),
            info={"renamed_from": "parents"},
        ),
        ["rename_table parents elders", "add_column", "add_index", "remove_column"],
    ),
    "a column that refers to others": (
        lambda m: (parents(m), child(m, "parents.id")),
        lambda m: (parents(m), child(m, "parents.id", "elder", renamed_from="parent")),
        ["rename_column child.parent elder"],
    ),
    "a table that refers to itself": (
        lambda m: tree(m, "trees"),
        lambda m: tree(m, "woods", info={"renamed_from": "trees"}),
        ["rename_table trees woods"],
    ),
    "a table that refers to a renamed one, and goes": (
        lambda m: family(m, "parents", "id", {}),
        lambda m: parents(m, "elders", info={"renamed_from": "parents"}),
        ["remove_table", "rename_table parents elders"],
    ),
    "a new table, said to be an old one that never was": (
        lambda m: nick(m, "nick", sa.Text),
        lambda m: (nick(m, "nick", sa.Text), parents(m, info={"renamed_from": "never"})),
        ["add_table"],
    ),
    "an old name that is still in use": (
        lambda m: nick(m, "nick", sa.Text),
        lambda m: nick(m, "nick", sa.Text, sa.Column("alias", sa.Text, info=OLD_NICK)),
        ["add_column"],
    ),
    "nothing, when nobody says so": (
        lambda m: nick(m, "nick", sa.Text),
        lambda m: nick(m, "alias", sa.Text),
        ["add_column", "remove_column"],
    ),
}


def migrate(url: str, tables: Tables) -> tuple[list[str], ops.DowngradeOps]:
    """Brings a database to the tables; returns the differences there were, and the way back."""
    metadata = sa.MetaData()
    tables(metadata)
    with db.migration_engine(url).begin() as connection:
        context = MigrationContext.configure(connection, opts={"autogenerate_plugins": PLUGINS, "compare_type": True})
        script = produce_migrations(context, metadata)
        assert script.upgrade_ops is not None
        assert script.downgrade_ops is not None
        diffs = [part for diff in script.upgrade_ops.as_diffs() for part in (diff if type(diff) is list else [diff])]
        invoke(context, script.upgrade_ops)
    return [" ".join(diff) if diff[0].startswith("rename_") else diff[0] for diff in diffs], script.downgrade_ops


def invoke(context: MigrationContext, container: ops.OpContainer) -> None:
    for operation in container.ops:
        if isinstance(operation, ops.OpContainer):
            invoke(context, operation)
        else:
            Operations(context).invoke(operation)


@pytest.mark.in_turn
@pytest.mark.parametrize("case", CASES)
def test_a_rename_goes_there_and_back(case: str, url: str) -> None:
    before, after, expected = CASES[case]
    migrate(url, before)
    schema = schema_of(url)
    differences, back = migrate(url, after)
    assert differences == expected
    assert migrate(url, after)[0] == []
    with db.migration_engine(url).begin() as connection:
        invoke(MigrationContext.configure(connection), back)
    assert schema_of(url) == schema
