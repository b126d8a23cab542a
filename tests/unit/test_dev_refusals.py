"""The names that `schema dev` offers, and the databases that it refuses."""

from typing import Any

import pytest
import sqlalchemy as sa

from app import database_url, settings
from app.migrations.autogenerate import offered_name
from app.migrations.commands.dev import develop
from app.migrations.errors import ConfigurationError
from app.migrations.run.connections import require_local
from app.project import PROJECT
from app.triggers import updated_at_trigger
from tests.support.approved_texts import Approve


def test_a_host_from_the_environment_is_refused_like_one_in_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    with pytest.raises(ConfigurationError, match=r"db\.example"):
        require_local(database_url.parse("postgresql:///x"))


def test_a_remote_database_is_not_even_asked(approve: Approve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret@db.example/gateway")
    settings.load.cache_clear()
    with pytest.raises(ConfigurationError) as refusal:
        develop(PROJECT)
    approve("dev_remote.txt", f"{refusal.value}\n")
    settings.load.cache_clear()


USERS = sa.Table("users", sa.MetaData(), sa.Column("nick", sa.Text), sa.Index("users_nick_idx", "nick"))
INDEX, *_ = USERS.indexes
NAMES: dict[str, list[Any]] = {
    "add users": [("add_table", USERS), ("add_index", INDEX)],
    "drop users": [("remove_table", USERS)],
    "add users.nick": [("add_column", None, "users", USERS.c.nick), ("add_index", INDEX)],
    "add users.nick and drop users.id": [
        ("add_column", None, "users", USERS.c.nick),
        ("remove_column", None, "users", sa.Column("id", sa.Integer)),
    ],
    "change users.nick": [
        [("modify_type", None, "users", "nick", {}, None, None), ("modify_nullable", None, "users", "nick", {}, 0, 1)]
    ],
    "rename users.nick to alias": [("rename_column", "users.nick", "alias")],
    "rename users to people": [("rename_table", "users", "people")],
    "add index users_nick_idx": [("add_index", INDEX)],
    "add trigger update_users_updated_at": [("add_trigger", updated_at_trigger("users"))],
    "drop trigger update_users_updated_at": [("remove_trigger", "update_users_updated_at", "users")],
    "change comment of users": [("add_table_comment", USERS, None)],
    "add users.a, users.b, users.c": [("add_column", None, "users", sa.Column(name, sa.Text)) for name in "abc"],
    "change users": [("add_column", None, "users", sa.Column(name, sa.Text)) for name in "abcd"],
    "change a, b, users": [("add_column", None, table, USERS.c.nick) for table in ["a", "b", "users", "users"]]
    + [("remove_column", None, "b", USERS.c.nick)],
    "change 4 tables": [("add_column", None, table, USERS.c.nick) for table in ["a", "b", "c", "d"]],
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_offered(name: str) -> None:
    assert offered_name(NAMES[name]) == name
